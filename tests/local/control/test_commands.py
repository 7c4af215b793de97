"""`optml up`, `env` and `exec` as programs, and a control plane that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from optml.local.control.home import Home
from tests.local.control.test_jobs import Jobs

OPTML = [sys.executable, "-m", "optml.local.cli"]


def environment(home: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "OPTML_HOME": str(home), "HOME": str(home.parent), **more}


def run(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*OPTML, *words], env=environment(home, **more), capture_output=True, text=True, timeout=60
    )


@contextmanager
def up(home: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A control plane as a process, and its address; killed at the end, if it still runs."""
    command = [*OPTML, "up", "--engine", "process", "--slots", "2", *words]
    with subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield process, line.split()[3].rstrip(",")
        finally:
            process.kill()


def jobs_at(url: str, bucket: str) -> Jobs:
    import boto3

    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    clients: dict[str, Any] = {}

    def get(service: str) -> Any:
        return clients.setdefault(service, boto3.client(service, endpoint_url=url, **keys))

    get("s3").create_bucket(Bucket=bucket)
    return Jobs(get, bucket)


def test_programs_get_their_environment(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = run(home, "env")
    assert (done.returncode, "optml up starts one" in done.stderr) == (2, True)
    with up(home, "--port", "0") as (process, url):
        printed = run(home, "env", PYTHONPATH="/mine").stdout
        assert f"export AWS_ENDPOINT_URL={url}\n" in printed
        assert f"export PYTHONPATH={home / 'site'}:/mine\n" in printed
        assert "unset AWS_PROFILE" in printed
        code = "import os; print(os.environ['AWS_ENDPOINT_URL'], 'AWS_PROFILE' in os.environ)"
        done = run(home, "exec", "--", sys.executable, "-c", code, AWS_PROFILE="work")
        assert done.stdout.split() == [url, "False"]
        assert "no program 'nothing'" in run(home, "exec", "--", "nothing").stderr
        second = run(home, "up", "--port", "0")
        assert (second.returncode, "runs already" in second.stderr) == (3, True)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    taken = run(home, "up", "--host", "0.0.0.0")
    assert (taken.returncode, "--verify" in taken.stderr) == (2, True)
    assert "expected NAME=DIR" in run(home, "up", "--bucket", "x").stderr


def test_clients_with_an_address_of_awss_come_here_too(tmp_path: Path) -> None:
    home, own = tmp_path / "home", tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import os; os.environ['HIDDEN'] = 'run'\n")
    code = (
        "import os, boto3; c = boto3.client('sts', endpoint_url='https://sts.us-east-1.amazonaws.com');"
        "print(c.get_caller_identity()['Account'], os.environ['HIDDEN'])"
    )
    with up(home, "--port", "0"):
        done = run(home, "exec", "--", sys.executable, "-c", code, PYTHONPATH=str(own))
    assert done.stdout.split() == ["123456789012", "run"], done.stderr


def test_the_users_own_configuration_of_the_sdk_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optml.local.control.environment import prepare

    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / ".config" / "sagemaker" / "config.yaml"
    own.parent.mkdir(parents=True)
    text = "SchemaVersion: '1.0'\nSageMaker: {TrainingJob: {RoleArn: mine}, PythonSDK: {Modules: {X: 1}}}\n"
    own.write_text(text)
    home = Home(tmp_path / "home")
    prepare(home, "http://127.0.0.1:1")
    config = yaml.safe_load(home.sdk_config.read_text())
    assert config["SageMaker"]["TrainingJob"] == {"RoleArn": "mine"}
    modules = config["SageMaker"]["PythonSDK"]["Modules"]
    assert (modules["X"], modules["TelemetryOptOut"]) == (1, True)
    assert modules["Session"]["DefaultS3Bucket"] == "sagemaker-us-east-1-123456789012"
    assert own.read_text() == text


def test_a_kill_loses_no_job_and_the_supervisor_finishes_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home, "--port", "0") as (process, url):
        jobs = jobs_at(url, "bkt")
        names = [jobs.create(f"job-{number}") for number in range(3)]
        process.kill()
        process.wait()
    with up(home, "--port", "0") as (process, url):
        jobs = jobs_at(url, "bkt")
        found = [jobs.ended(name) for name in names]
        assert [job["TrainingJobStatus"] for job in found] == ["Completed"] * 3
        keys = [entry["Key"] for entry in jobs.s3.list_objects_v2(Bucket="bkt", Prefix="out/")["Contents"]]
        assert keys == [f"out/{name}/output/model.tar.gz" for name in names]
        assert all(job["FinalMetricDataList"] for job in found)


def test_a_job_whose_processes_are_gone_has_failed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with up(home, "--port", "0") as (process, url):
        jobs = jobs_at(url, "bkt")
        name = jobs.create("lost")
        folder = Home(home).job("training", name)
        while not (folder / "handle").exists():
            jobs.describe(name)
        process.kill()
        process.wait()
        os.killpg(int((folder / "handle").read_text()), signal.SIGKILL)  # as when the machine goes down
    if (folder / "exit.json").exists():
        pytest.skip("the job was faster than the kill")
    with up(home, "--port", "0") as (process, url):
        found = jobs_at(url, "bkt").ended(name)
    assert found["TrainingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("InternalServerError: the process vanished")
