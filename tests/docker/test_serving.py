"""Servers in containers, as SageMaker starts them (serving-contract)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker.engine import BUILD_SECONDS, Job, container, docker, logs, server

pytestmark = [pytest.mark.docker, pytest.mark.timeout(BUILD_SECONDS)]


@pytest.fixture
def model(image: str, job: Callable[..., Job]) -> Path:
    made = job()
    done = made.run(image, "train")
    assert done.returncode == 0, done.stdout + done.stderr
    return made.model


def test_a_trained_model_is_served(image: str, model: Path, csv: bytes) -> None:
    with server(image, model) as serving:
        predictions = json.loads(serving.invoke(csv, "text/csv"))["predictions"]
    assert len(predictions) == 150
    assert {row["closest_cluster"] for row in predictions} == {0.0, 1.0, 2.0}


def test_sagemaker_bind_to_port_moves_the_server(image: str, model: Path) -> None:
    with server(image, model, "-e", "SAGEMAKER_BIND_TO_PORT=9999", port=9999) as serving:
        assert serving.ping() == 200


def test_docker_stop_ends_the_server_soon_and_in_order(image: str, model: Path) -> None:
    with server(image, model) as serving:
        begin = time.monotonic()
        docker("stop", "-t", "30", serving.name)
        seconds = time.monotonic() - begin
        code = docker("inspect", "-f", "{{.State.ExitCode}}", serving.name).stdout.strip()
        said = logs(serving.name)
    assert code == "0", said
    assert seconds < 5


def test_serving_needs_no_network(image: str, model: Path) -> None:
    ask = (
        "import time, urllib.request as u\n"
        "for _ in range(100):\n"
        "    try:\n"
        "        u.urlopen('http://127.0.0.1:8080/ping'); break\n"
        "    except OSError: time.sleep(0.2)\n"
        "body, headers = b'5.1,3.5,1.4,0.2', {'Content-Type': 'text/csv'}\n"
        "r = u.Request('http://127.0.0.1:8080/invocations', body, headers)\n"
        "print(u.urlopen(r).read().decode())"
    )
    options = ("--network", "none", "-v", f"{model}:/opt/ml/model:ro")
    with container(image, "serve", options=options) as name:
        answer = docker("exec", name, "python", "-c", ask).stdout
    assert json.loads(answer)["predictions"][0].keys() == {"closest_cluster", "distance_to_cluster"}


def test_a_folder_without_a_model_ends_the_server_with_the_reason(image: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model here")
    with container(image, "serve", options=("-v", f"{tmp_path}:/opt/ml/model:ro")) as name:
        assert docker("wait", name).stdout.strip() == "1"
        said = logs(name)
    assert "/opt/ml/model" in said
    assert "Traceback" not in said
