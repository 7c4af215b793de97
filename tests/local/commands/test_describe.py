import json
import re
import sys
from pathlib import Path

import pytest

from optml.algorithms.registry import MODULES, available
from optml.local.commands.list import TITLES
from optml.local.commands.registries import REGIONS, uris


def test_description_is_a_table_or_json(optml):
    code, out, _ = optml("describe", "kmeans")
    assert code == 0
    assert "extra_center_factor" in out
    assert "test:msd" in out
    code, out, _ = optml("describe", "kmeans", "--json")
    assert json.loads(out)["slug"] == "kmeans"


def test_metric_definitions_read_the_log(optml):
    _, out, _ = optml("describe", "kmeans", "--metric-definitions")
    definitions = {entry["Name"]: entry["Regex"] for entry in json.loads(out)}
    line = "#quality_metric: host=algo-1, test msd <loss>=0.5"
    assert re.search(definitions["test:msd"], line)[1] == "0.5"


def test_create_algorithm_request_names_the_image(optml):
    _, out, _ = optml("describe", "kmeans", "--create-algorithm", "--image", "me/kmeans:1")
    assert json.loads(out)["TrainingSpecification"]["TrainingImage"] == "me/kmeans:1"


def test_unknown_algorithm_is_refused(optml):
    code, _, err = optml("describe", "kmeens")
    assert code == 2
    assert "did you mean 'kmeans'?" in err


def test_list_shows_what_is_ready_and_all_that_is_planned(optml):
    _, out, _ = optml("list", "--json")
    assert {"slug": "kmeans", "title": "K-Means", "state": "ready"} in json.loads(out)
    _, out, _ = optml("list", "--all")
    assert len(out.splitlines()) == len(MODULES) == 17
    assert set(TITLES) == set(MODULES)


def test_every_algorithm_has_its_name_at_aws():
    names = [uri for slug in MODULES for region in REGIONS for uri in uris(slug, region)]
    assert len(names) == len(set(names)) == 937  # counted in the SageMaker SDK 2.257.7
    assert uris("kmeans", "us-west-2") == ["174872318107.dkr.ecr.us-west-2.amazonaws.com/kmeans:1"]
    assert "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1" in uris(
        "xgboost", "us-east-1"
    )


def test_retag_takes_the_algorithm_from_the_image(optml):
    name = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
    code, out, _ = optml("retag", "localhost:5000/me/kmeans:cpu", "--dry-run")
    assert code == 0
    dockerfile = "FROM localhost:5000/me/kmeans:cpu\\nENV OPTML_ALGORITHM=kmeans\\n"
    assert out == f"printf '{dockerfile}' | docker build --tag {name} -\n"
    assert optml("retag", "x", "--algorithm", "foo", "--dry-run")[0] == 2


def test_retag_says_in_each_image_which_algorithm_it_is(optml):
    _, out, _ = optml("retag", "optml/all:cpu", "--region", "eu-west-1", "--dry-run")
    for slug in available():
        assert out.count(f"FROM optml/all:cpu\\nENV OPTML_ALGORITHM={slug}\\n") == 1
        for uri in uris(slug, "eu-west-1"):
            assert f" {uri}" in out


def test_retag_names_an_image_for_every_region(optml):
    _, out, _ = optml("retag", "optml/kmeans:cpu", "--region", "all", "--dry-run")
    lines = out.splitlines()
    assert len(lines) == len(REGIONS) == 37
    assert lines[-1].endswith("us-west-2.amazonaws.com/kmeans:1")
    assert all(line.startswith("docker tag 455444449433.dkr.ecr.af-south-1") for line in lines[1:])


def test_retag_for_a_region_without_the_algorithm_is_refused(optml):
    code, _, err = optml("retag", "x", "--algorithm", "lda", "--region", "eu-north-1", "--dry-run")
    assert code == 2
    assert "AWS has no lda in eu-north-1" in err


@pytest.mark.parametrize("slug", MODULES)
def test_the_names_are_those_of_the_sdk(slug):
    """Where the SDK is installed, beside this project or in the environment of the Docker tests."""
    folders = [*Path(sys.prefix).parent.glob(".venv-sdk2/lib/python3*/site-packages"), *map(Path, sys.path)]
    tables = [found for folder in folders if (found := folder / "sagemaker/image_uri_config").is_dir()]
    if not tables:
        pytest.skip("needs the SageMaker SDK 2, which .venv-sdk2 holds once the Docker tests have run")
    table = json.loads((tables[0] / f"{slug}.json").read_text())
    wanted = {
        (account, region, f"{version['repository']}:{tag}{'-cpu-py3' if 'py_versions' in version else ''}")
        for tag, version in table.get("training", table)["versions"].items()
        for region, account in version["registries"].items()
    }
    names = {uri for region in REGIONS for uri in uris(slug, region)}
    assert {(uri[:12], uri.split(".")[3], uri.partition("/")[2]) for uri in names} == wanted


def test_retag_without_docker_or_image_is_explained(optml, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no program 'docker'" in optml("retag", "optml/kmeans:cpu")[2]
    (tmp_path / "docker").write_text("#!/bin/sh\necho no such image >&2; exit 1\n")
    (tmp_path / "docker").chmod(0o755)
    code, _, err = optml("retag", "optml/kmeans:cpu")
    assert code == 2
    assert "no such image" in err
