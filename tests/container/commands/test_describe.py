import json
import re

from algorithms.registry import MODULES
from container.commands.list import TITLES
from container.commands.registries import REGISTRIES, uris


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
    assert {slug for registry in REGISTRIES for slug in registry.repositories} == set(MODULES)
    assert uris("kmeans", "us-west-2") == ["174872318107.dkr.ecr.us-west-2.amazonaws.com/kmeans:1"]
    assert "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1" in uris(
        "xgboost", "us-east-1"
    )


def test_retag_takes_the_algorithm_from_the_image(optml):
    code, out, _ = optml("retag", "localhost:5000/me/kmeans:cpu", "--region", "all", "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        "docker tag localhost:5000/me/kmeans:cpu 382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1",
        "docker tag localhost:5000/me/kmeans:cpu 174872318107.dkr.ecr.us-west-2.amazonaws.com/kmeans:1",
    ]
    _, out, _ = optml("retag", "optml/all:cpu", "--algorithm", "lda", "--dry-run")
    assert out == "docker tag optml/all:cpu 766337827248.dkr.ecr.us-east-1.amazonaws.com/lda:1\n"
    assert optml("retag", "x", "--algorithm", "foo", "--dry-run")[0] == 2


def test_retag_without_docker_or_image_is_explained(optml, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no program 'docker'" in optml("retag", "optml/kmeans:cpu")[2]
    (tmp_path / "docker").write_text("#!/bin/sh\necho no such image >&2; exit 1\n")
    (tmp_path / "docker").chmod(0o755)
    code, _, err = optml("retag", "optml/kmeans:cpu")
    assert code == 2
    assert "no such image" in err
