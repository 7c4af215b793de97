"""K-Means through `train`: killed and resumed, stopped, on two hosts, through FIFOs."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from optml.algorithms import registry
from optml.local.describe import metric_definitions
from optml.local.ports import free_port
from tests.contract.tree import HOSTS, Tree, end, train_together

KMEANS = ("-m", "optml.container", "train")
ROWS = np.random.default_rng(0).normal(size=(4000, 6)) + np.arange(4).repeat(1000)[:, None] * 4
SETTINGS = {"k": 4, "feature_dim": 6, "mini_batch_size": 100, "epochs": 3}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "kmeans")


def csv(rows: np.ndarray) -> str:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())


def job(root: Path, rows: np.ndarray = ROWS, **hyperparameters: object) -> Tree:
    tree = Tree(root)
    tree.write("input/data/train/rows.csv", csv(rows))
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": "text/csv;label_size=0"}})
    tree.hyperparameters(**(SETTINGS | hyperparameters))
    return tree


def centers(tree: Tree) -> np.ndarray:
    arrays = load_file(tree.model / "model.safetensors")
    return next(array for array in arrays.values() if array.ndim == 2)


def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    shuffled = np.random.default_rng(1).permutation(ROWS)
    tree = job(tmp_path / "killed", shuffled)
    tree.kill_at("kmeans-0.1-*.ckpt")
    resumed = tree.train(*KMEANS)
    assert resumed.code == 0, resumed.log
    assert re.search(r"Checkpoint loaded from \S+ at epoch 1", resumed.log)

    undisturbed = job(tmp_path / "undisturbed", shuffled)
    log = undisturbed.train(*KMEANS).log
    np.testing.assert_array_equal(centers(tree), centers(undisturbed))
    metric = r"train msd <loss>=(\S+)"
    assert re.findall(metric, resumed.log) == re.findall(metric, log)
    metric = r"train row msd <loss>=(\S+)"
    assert re.findall(metric, resumed.log) == re.findall(metric, log)


def test_a_pipe_that_is_silent_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    tree = job(tmp_path)
    (tmp_path / "input/data/train/rows.csv").unlink()
    config = {"train": {"ContentType": "text/csv;label_size=0", "TrainingInputMode": "Pipe"}}
    tree.write("input/config/inputdataconfig.json", config)
    fifo = tmp_path / "input/data/train_0"
    os.mkfifo(fifo)
    started = threading.Event()
    finish = threading.Event()

    def feed() -> None:
        with fifo.open("w") as writer:
            writer.write(20 * csv(ROWS))  # more than one block, so that some is absorbed
            writer.flush()
            started.set()
            finish.wait()

    thread = threading.Thread(target=feed)
    thread.start()
    process = tree.start(*KMEANS)
    try:
        assert started.wait(100)
        process.send_signal(signal.SIGTERM)
        ended = end(process)  # with the FIFO still open
    finally:
        finish.set()
        thread.join()
    assert ended.code == 0, ended.log
    assert "Stopping on SIGTERM after epoch 0" in ended.messages


def test_two_hosts_give_the_centers_of_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    shuffled = np.random.default_rng(1).permutation(ROWS)
    hosts = [job(tmp_path / name, shuffled) for name in HOSTS]
    for ended in train_together(hosts, *KMEANS):
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    alone = job(tmp_path / "alone", shuffled, mini_batch_size=200)
    assert alone.train(*KMEANS).code == 0
    np.testing.assert_allclose(np.sort(centers(hosts[0]), 0), np.sort(centers(alone), 0), atol=0.05)


def test_a_sharded_host_without_a_file_takes_part(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    hosts = [job(tmp_path / name, ROWS) for name in HOSTS]
    (tmp_path / "localhost/input/data/train/rows.csv").unlink()
    for tree in hosts:
        config = {"ContentType": "text/csv;label_size=0", "S3DistributionType": "ShardedByS3Key"}
        tree.write("input/config/inputdataconfig.json", {"train": config})
    for ended in train_together(hosts, *KMEANS):
        assert ended.code == 0, ended.log


def test_a_model_goes_on_from_an_earlier_one(tmp_path: Path) -> None:
    first = job(tmp_path / "first")
    assert first.train(*KMEANS).code == 0
    second = job(tmp_path / "second", epochs=1)
    second.write("input/data/train/more.csv", csv(ROWS[:10]))
    config = json.loads((second.root / "input/config/inputdataconfig.json").read_text())
    second.write("input/config/inputdataconfig.json", config | {"model": {}})
    (second.root / "input/data/model").symlink_to(first.model)
    ended = second.train(*KMEANS)
    assert ended.code == 0, ended.log
    np.testing.assert_allclose(np.sort(centers(second), 0), np.sort(centers(first), 0), atol=0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age,height,a,b,c,d\n1,2,3,4,5,6\n", "age"),
        ("1,2,3\n4,5,6\n", "feature_dim is 6"),
        ("1,2,3,4,5,nan\n" * 10, "nan"),
        ("1,2,3,4,5,6\n", "holds only 1 row"),
    ],
)
def test_bad_rows_are_the_users_to_mend(tmp_path: Path, text: str, said: str) -> None:
    tree = job(tmp_path)
    tree.write("input/data/train/rows.csv", text)
    ended = tree.train(*KMEANS)
    assert ended.code == 2, ended.log
    assert tree.failure.startswith("ClientError: ")
    assert said in tree.failure.replace("NaN", "nan")
    assert "Traceback" not in ended.log
    assert ended.last == "Customer Error: " + tree.failure.removeprefix("ClientError: ")


# As on a host with two GPUs, but for the GPUs: the first process starts the second one.
TWO_PROCESSES = """
from optml.container import train
from optml.container.__main__ import train as main

connect, loop = train.connect, train.Process._loop
train.devices.select = lambda wanted, compute: 2
train.connect = lambda place, *, problem, device: connect(place, problem=problem, device="cpu")
train.Process._loop = lambda self, job, device, scratch: loop(self, job, "cpu", scratch)
main()
"""


@pytest.mark.parametrize("values", [{}, {"k": 5000}])
def test_one_host_trains_with_several_processes(tmp_path: Path, values: dict[str, int]) -> None:
    pytest.importorskip("torch")
    tree = job(tmp_path / "two", **values)
    ended = tree.train("-c", TWO_PROCESSES, OPTML_PORT=str(free_port()))
    assert ended.log.count("Docker entrypoint called") == 1
    if values:
        assert ended.code == 2, ended.log
        assert "holds only 4000 rows" in tree.failure
        assert ended.last == "Customer Error: " + tree.failure.removeprefix("ClientError: ")
        assert ended.log.count("Customer Error") == 1
    else:
        assert ended.code == 0, ended.log
        assert ended.log.count("train msd <loss>=") == 1
        assert centers(tree).shape == (4, 6)


def test_a_log_that_nobody_reads_ends_no_job(tmp_path: Path) -> None:
    tree = job(tmp_path)
    process = tree.start(*KMEANS)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert (tree.model / "model.json").exists()


def test_a_tree_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = Tree(tmp_path / "typo").train(*KMEANS)
    assert (ended.code, ended.last.partition(":")[0]) == (3, "Platform Error")
    assert f"there is no folder {tmp_path / 'typo'}" in ended.last
    assert not (tmp_path / "typo").exists()


def test_published_regexes_read_every_metric_from_the_log(tmp_path: Path) -> None:
    tree = job(tmp_path, eval_metrics="msd,ssd")
    tree.write("input/data/test/rows.csv", csv(ROWS))
    tree.write(
        "input/config/inputdataconfig.json", {name: {"ContentType": "text/csv"} for name in ("train", "test")}
    )
    log = tree.train(*KMEANS).log
    for definition in metric_definitions(registry.get("kmeans")):
        found = re.findall(definition["Regex"], log)
        assert found, definition
        assert all(np.isfinite(float(number)) for number in found)
