"""Training jobs as programs run them: trees, processes and containers, logs, ends."""

import json
import os
from itertools import pairwise

import numpy as np
import pytest

from optml.errors import PlatformError, UserError
from optml.local.training_job import Command, Input, TrainingJob


@pytest.fixture
def table(tmp_path):
    rows = np.random.default_rng(0).integers(0, 9, (60, 3))
    folder = tmp_path / "data"
    folder.mkdir()
    for name, part in zip("abc", np.array_split(rows, 3), strict=True):
        np.savetxt(folder / f"{name}.csv", part, delimiter=",", fmt="%d")
    return folder


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A program called docker that writes down what it is asked, and does `run` as a test wants it."""

    def install(run):
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir()
        asked = tmp_path / "asked"
        program.write_text(f'#!/bin/sh\necho "$*" >> {asked}\ncase $1 in run) {run};; esac\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return asked

    return install


def job(table, tmp_path, mode="File", epochs=1, **options):
    return TrainingJob(
        "kmeans",
        {"k": "4", "feature_dim": "3", "epochs": str(epochs)},
        {"train": Input([table], "text/csv", mode, options.pop("distribution", "FullyReplicated"))},
        model=tmp_path / "model",
        **options,
    )


@pytest.mark.parametrize("mode", ["File", "Pipe"])
def test_job_yields_its_log_and_leaves_a_model(table, tmp_path, mode):
    with job(table, tmp_path, mode, root=tmp_path / "job") as running:
        lines = list(running.log())
        assert running.wait() == 0
        assert running.failure == ""
    assert (tmp_path / "model" / "model.json").exists()
    assert {line.host for line in lines} == {"algo-1"}
    assert any("#quality_metric: host=algo-1, train msd" in line.text for line in lines)
    config = json.loads((tmp_path / "job/algo-1/input/config/inputdataconfig.json").read_text())
    assert config["train"] == {
        "TrainingInputMode": mode,
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
        "ContentType": "text/csv",
    }


def test_reason_of_a_failure_is_what_the_job_wrote(table, tmp_path):
    with job(table, tmp_path, epochs="many") as failing:
        for _ in failing.log():
            pass
        assert failing.wait() == 2
        assert failing.failure.startswith("ClientError: hyperparameter epochs='many' is not an integer")


def test_stopped_job_saves_its_model(table, tmp_path):
    with job(table, tmp_path, epochs=10_000_000) as endless:
        lines = endless.log()
        next(line for line in lines if "#progress_metric" in line.text)
        endless.stop()  # once: a second SIGTERM ends a job without a model
        for _ in lines:
            pass
        assert endless.wait() == 0
        assert not endless.terminate()  # it has ended
    assert (tmp_path / "model" / "model.json").exists()


def test_who_does_not_stop_is_killed_and_so_is_its_container(table, tmp_path, docker):
    os.mkfifo(tmp_path / "never")
    asked = docker(f"trap '' TERM; echo up; read word < {tmp_path}/never")
    with job(table, tmp_path, docker="image") as stubborn:
        for line in stubborn.log():
            assert line.text == "up"
            stubborn.stop(grace=0)
        assert stubborn.wait() == 137
        assert "out of memory?" in stubborn.failure
        assert stubborn.failure.endswith("its last lines:\nup")
    run, kill = asked.read_text().splitlines()
    name = dict(pairwise(run.split()))["--name"]
    assert kill == f"kill {name}"


def test_leaving_a_job_kills_it_and_removes_its_tree(table, tmp_path):
    with job(table, tmp_path, epochs=10_000_000) as endless:
        next(endless.log())
        root = endless.paths[0].root
        assert (root / "input/data/train/a.csv").exists()
    assert endless.wait() == 137
    assert not root.exists()


def test_two_hosts_are_processes_that_share_the_files(table, tmp_path):
    pytest.importorskip("torch")
    with job(table, tmp_path, hosts=2, distribution="ShardedByS3Key") as pair:
        lines = list(pair.log())
        assert pair.wait() == 0, pair.failure
        held = [sorted(path.name for path in (paths.data / "train").iterdir()) for paths in pair.paths]
    assert held == [["a.csv", "c.csv"], ["b.csv"]]
    assert {line.host for line in lines} == {"algo-1", "algo-2"}
    assert (tmp_path / "model" / "model.json").exists()


def test_containers_of_several_hosts_find_each_other_by_name(table, tmp_path, docker):
    asked = docker("echo up")
    with job(table, tmp_path, hosts=2, docker="optml/kmeans:cpu", gpus="all") as pair:
        for _ in pair.log():
            pass
        hosts = [json.loads((paths.config / "resourceconfig.json").read_text()) for paths in pair.paths]
    assert [host["current_host"] for host in hosts] == ["algo-1", "algo-2"]
    assert hosts[1]["hosts"] == ["algo-1", "algo-2"]
    create, *between, remove = asked.read_text().splitlines()
    runs = [line for line in between if line.startswith("run ")]  # one that ends late is killed besides
    assert len(runs) == 2
    network = create.removeprefix("network create ")
    assert remove == f"network rm {network}"
    for number, run in enumerate(sorted(runs, key=lambda run: "--hostname algo-1 " not in run), 1):
        options = list(pairwise(run.split()))
        assert ("--network", network) in options
        assert ("--network-alias", f"algo-{number}") in options
        assert ("-v", f"{table}:/opt/ml/input/data/train:ro") in options
        assert (("-v", f"{tmp_path / 'model'}:/opt/ml/model") in options) == (number == 1)
        assert run.endswith("--gpus all optml/kmeans:cpu train")


def test_what_cannot_be_started_is_told(table, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="channel 'train': there is no file or folder"):
        job(tmp_path / "nowhere", tmp_path).__enter__()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PlatformError, match="there is no program 'docker'"):
        job(table, tmp_path, docker="image").__enter__()


def test_source_that_cannot_be_read_ends_a_job_in_pipe_mode(table, tmp_path):
    (table / "a.csv").write_bytes(b"\x1f\x8b no gzip")
    with job(table, tmp_path, "Pipe") as broken:
        for _ in broken.log():
            pass
        with pytest.raises(UserError, match=r"a\.csv"):
            broken.wait()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Command(), ["image", "train"]),
        (Command((), ("fit", "--fast")), ["image", "fit", "--fast"]),
        (Command(("bash", "-c"), ("echo 1",)), ["--entrypoint", "bash", "image", "-c", "echo 1"]),
        (Command(("run.sh",)), ["--entrypoint", "run.sh", "image"]),
    ],
)
def test_an_entrypoint_and_arguments_take_the_place_of_the_image_s_own(command, words):
    assert command.words("image") == words
