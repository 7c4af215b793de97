"""AWS's SDKs, unmodified, against `optml up`: the flows of ../shared/clients, with real training."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docker.engine import build, docker, missing_engine
from tests.sdks import environment
from tests.shared import SHARED, needs_shared

pytestmark = [pytest.mark.sdk, needs_shared("clients/flows.py"), pytest.mark.timeout(1200)]

# The flow expects 400 of XGBoost for a body that does not parse; its container keeps AWS's 415.
RULED_OUT = {"core_bad_record"}
TUNING = "tune"  # flows of tuning jobs begin with it: many training jobs, which are the same in Docker

Run = Callable[[Path, str], list[str]]


@pytest.fixture(scope="module")
def images() -> Iterator[None]:
    """An image of all algorithms, under the name that the control plane looks for."""
    if problem := missing_engine():
        pytest.skip(problem)
    own = docker("image", "inspect", "optml/all:cpu", check=False).returncode != 0
    if own:
        docker("tag", build("Dockerfile.cpu", "all"), "optml/all:cpu")
    yield
    if own:
        docker("rmi", "optml/all:cpu")


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs all flows of one program that are not marked later; its lines of results."""
    if request.param == "docker":
        request.getfixturevalue("images")
    folder = tmp_path_factory.mktemp("flows")
    outer = {**os.environ, "OPTML_HOME": str(folder / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    optml = [sys.executable, "-m", "optml.local.cli"]
    up = [*optml, "up", "--port", "0", "--engine", request.param]
    with subprocess.Popen(up, env=outer, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "optml answers at" in server.stdout.readline()

        def program(python: Path, name: str) -> list[str]:
            def called(*words: str) -> list[str]:
                command = [*optml, "exec", "--", str(python), name, *words]
                done = subprocess.run(
                    command, env=outer, cwd=SHARED / "clients", capture_output=True, text=True, timeout=1000
                )
                assert done.stdout, done.stderr[-2000:]
                return [line for line in done.stdout.splitlines() if not line.startswith("sagemaker.config")]

            flows = [flow for flow in called("--list") if not flow.endswith("(later)")]
            chosen = [flow for flow in flows if flow not in RULED_OUT]
            if request.param == "docker":
                chosen = [flow for flow in chosen if not flow.startswith(TUNING)]
            return called("--fast", *chosen)

        try:
            yield program
        finally:
            server.terminate()


@pytest.mark.parametrize(
    ("name", "requirement", "program"),
    [(".venv-sdk2", "sagemaker<3", "v2_flows.py"), (".venv-sdk3", "sagemaker>=3", "v3_flows.py")],
    ids=["v2", "v3"],
)
def test_flows_of_the_sdk_pass(run: Run, name: str, requirement: str, program: str) -> None:
    lines = run(environment(name, requirement), program)
    assert [line for line in lines if "FAILED" in line] == []
    passed, whole = lines[-1].split()[0:3:2]
    assert passed == whole != "0"
