"""What the image is, before any job runs in it (training-contract 1, serving-contract 2)."""

from __future__ import annotations

import json
import re

import pytest

from tests.docker.engine import BUILD_SECONDS, build, docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(BUILD_SECONDS)]


def inspect(image: str) -> dict[str, object]:
    described: dict[str, object] = json.loads(docker("image", "inspect", image).stdout)[0]
    return described


def shell(image: str, command: str) -> str:
    return docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", command).stdout


def test_labels_promise_the_port_variable_and_multi_model_mode(image: str) -> None:
    labels = inspect(image)["Config"]["Labels"]
    assert labels["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
    assert labels["com.amazonaws.sagemaker.capabilities.multi-models"] == "true"


def test_entry_point_is_in_exec_form_and_the_default_command_trains(image: str) -> None:
    config = inspect(image)["Config"]
    assert config["Entrypoint"] == ["python", "-m", "optml.container"]
    assert config["Cmd"] == ["train"]


def test_train_and_serve_are_on_the_path(image: str) -> None:
    assert shell(image, "for program in train serve optml; do command -v $program; done").split() == [
        "/opt/optml/bin/train",
        "/opt/optml/bin/serve",
        "/opt/optml/bin/optml",
    ]


def test_nothing_lies_under_opt_ml(image: str) -> None:
    assert shell(image, "ls -A /opt/ml 2>/dev/null || true") == ""


def test_cpu_image_carries_no_compiler_and_no_cuda(image: str) -> None:
    assert shell(image, "for program in cc gcc clang make nvcc; do command -v $program; done; true") == ""
    assert shell(image, "python -c 'import torch; print(torch.version.cuda)'").strip() == "None"
    assert "nvidia" not in shell(image, "pip list 2>/dev/null").lower()


def test_installed_packages_fit_together(image: str) -> None:
    assert "No broken requirements" in shell(image, "pip check")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_need_no_job(image: str, argument: str) -> None:
    done = docker("run", "--rm", "--network", "none", image, argument)
    assert done.stdout.strip()


def test_all_tags_share_every_layer_but_the_last(image: str) -> None:
    layers = inspect(image)["RootFS"]["Layers"]
    others = inspect(build("Dockerfile.cpu", "all"))["RootFS"]["Layers"]
    assert layers[:-1] == others[:-1]


def test_an_algorithm_that_does_not_exist_stops_the_build(image: str) -> None:
    with pytest.raises(AssertionError, match=re.compile("did you mean 'kmeans'")):
        build("Dockerfile.cpu", "kmean")
