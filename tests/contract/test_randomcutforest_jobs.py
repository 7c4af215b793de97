"""Random Cut Forest through `train` and `serve`: killed and resumed, stopped, on two hosts, through FIFOs."""

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
from optml.container.job import Job
from optml.container.paths import Paths
from optml.errors import UserError
from optml.formats import record_protobuf as records
from optml.formats.layout import Layout
from optml.local.describe import metric_definitions
from tests.contract.server import serving
from tests.contract.tree import HOSTS, Ended, Tree, end, train_together, wait_for

TRAIN = ("-m", "optml.container", "train")
ROWS = np.random.default_rng(0).normal(size=(6000, 3)).astype(np.float32)
LABELS = np.arange(300) % 60 == 0
TEST = ROWS[:300] + 9 * LABELS[:, None]
SETTINGS = {"feature_dim": 3, "num_trees": 50, "num_samples_per_tree": 40}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "randomcutforest")


def csv(rows: np.ndarray) -> str:
    return "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())


def job(root: Path, rows: np.ndarray = ROWS, *, test: bool = False, **hyperparameters: object) -> Tree:
    tree = Tree(root)
    tree.write("input/data/train/rows.csv", csv(rows))
    channels = {"train": {"ContentType": "text/csv;label_size=0", "S3DistributionType": "ShardedByS3Key"}}
    if test:
        tree.write("input/data/test/rows.csv", csv(np.column_stack([LABELS, TEST])))
        channels["test"] = {"ContentType": "text/csv;label_size=1"}
    tree.write("input/config/inputdataconfig.json", channels)
    tree.hyperparameters(**(SETTINGS | hyperparameters))
    return tree


def same(one: Tree, other: Tree) -> None:
    ours, theirs = (load_file(tree.model / "model.safetensors") for tree in (one, other))
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


def through_a_pipe(tree: Tree) -> Ended:
    """The job with its train channel as a FIFO."""
    path = tree.root / "input/data/train/rows.csv"
    text = path.read_text()
    path.unlink()
    config = json.loads((tree.root / "input/config/inputdataconfig.json").read_text())
    config["train"]["TrainingInputMode"] = "Pipe"
    tree.write("input/config/inputdataconfig.json", config)
    fifo = tree.root / "input/data/train_0"
    os.mkfifo(fifo)
    thread = threading.Thread(target=fifo.write_text, args=(text,))
    thread.start()
    ended = tree.train(*TRAIN)
    thread.join()
    return ended


def test_a_file_and_a_pipe_give_the_same_forest_and_all_metrics(tmp_path: Path) -> None:
    file, pipe = job(tmp_path / "file", test=True), job(tmp_path / "pipe", test=True)
    ended = file.train(*TRAIN)
    assert ended.code == 0, ended.log
    piped = through_a_pipe(pipe)
    assert piped.code == 0, piped.log
    same(file, pipe)
    for definition in metric_definitions(registry.get("randomcutforest")):
        found = re.findall(definition["Regex"], ended.log)
        assert found, definition
        assert all(np.isfinite(float(number)) for number in found)
    assert "#test_score (algo-1) : ('f1', 1.0)" in ended.messages
    assert "#progress_metric: host=algo-1, completed 100.0 % epochs" in ended.messages
    assert '"Algorithm": "RandomCutForest"' in ended.log


def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    rows = ROWS
    tree = job(tmp_path / "killed", rows, mini_batch_size=100)
    tree.kill_at("randomcutforest-0.0-*.ckpt")
    resumed = tree.train(*TRAIN)
    assert resumed.code == 0, resumed.log
    assert "Checkpoint loaded from" in resumed.log
    undisturbed = job(tmp_path / "undisturbed", rows)
    assert undisturbed.train(*TRAIN).code == 0
    same(tree, undisturbed)


def test_a_stop_while_a_pipe_is_silent_leaves_the_forest_so_far(tmp_path: Path) -> None:
    tree = job(tmp_path)
    (tmp_path / "input/data/train/rows.csv").unlink()
    config = {"train": {"ContentType": "text/csv;label_size=0", "TrainingInputMode": "Pipe"}}
    tree.write("input/config/inputdataconfig.json", config)
    fifo = tmp_path / "input/data/train_0"
    os.mkfifo(fifo)
    started, finish = threading.Event(), threading.Event()

    def feed() -> None:
        with fifo.open("w") as writer:
            writer.write(60 * csv(ROWS))  # more than one block, so that some is absorbed
            writer.flush()
            started.set()
            finish.wait()

    thread = threading.Thread(target=feed)
    thread.start()
    folder = tree.checkpoints()
    process = tree.start(*TRAIN, OPTML_CHECKPOINT_SECONDS="0")
    try:
        assert started.wait(100)
        wait_for(folder, "randomcutforest-0.0-*.ckpt")
        process.send_signal(signal.SIGTERM)
        ended = end(process)
    finally:
        finish.set()
        thread.join()
    assert ended.code == 0, ended.log
    assert "Stopping on SIGTERM after epoch 0" in ended.messages
    assert json.loads((tree.model / "model.json").read_text())["facts"]["samples_per_tree"] == 40


def test_two_hosts_grow_the_forest_of_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    few = ROWS[:1500]
    hosts = [job(tmp_path / HOSTS[0], few[:1300], test=True), job(tmp_path / HOSTS[1], few[1300:], test=True)]
    for ended in train_together(hosts, *TRAIN):
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    alone = job(tmp_path / "alone", few)
    assert alone.train(*TRAIN).code == 0
    same(hosts[0], alone)


def test_rows_that_every_host_would_count_are_refused(tmp_path: Path) -> None:
    tree = job(tmp_path)
    tree.write("input/config/inputdataconfig.json", {"train": {"S3DistributionType": "FullyReplicated"}})
    Job.read(Paths(tmp_path), "randomcutforest")  # on one host it makes no difference
    content = {"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}
    tree.write("input/config/resourceconfig.json", content)
    with pytest.raises(
        UserError, match="'FullyReplicated', but on several hosts Random Cut Forest takes Sha"
    ):
        Job.read(Paths(tmp_path), "randomcutforest")


@pytest.mark.parametrize(
    ("channel", "text", "said"),
    [
        ("train", "1,2,3\n4,inf,6\n" * 40, "inf"),
        ("train", "1,2\n" * 60, "feature_dim is 3"),
        ("train", "1,2,3\n" * 30, "30 rows of channel 'train' cannot fill 50 trees"),
        ("train", "1,2,3e39\n" * 60, "float32"),
        ("test", "2,1,2,3\n", "row 1 of test/rows.csv has label 2"),
    ],
)
def test_bad_rows_are_the_users_to_mend(tmp_path: Path, channel: str, text: str, said: str) -> None:
    tree = job(tmp_path, ROWS[:100], test=True)
    tree.write(f"input/data/{channel}/rows.csv", text)
    ended = tree.train(*TRAIN)
    assert ended.code == 2, ended.log
    assert said in tree.failure
    assert "Traceback" not in ended.log
    assert not any(tree.model.glob("*"))


def test_every_request_gets_the_scores_in_every_form(tmp_path: Path) -> None:
    tree = job(tmp_path)
    assert tree.train(*TRAIN).code == 0
    table = "1.5,16.0,14.0\n-2.0,0.0,0.1\n"
    dense = {"features": [1.5, 16.0, 14.0]}
    sparse = {"data": {"features": {"keys": [0, 2], "shape": [3], "values": [-2.0, 0.1]}}}
    with serving(tmp_path) as server:

        def ask(body: str, sent: str, accept: str) -> bytes:
            answer = server.invoke(body, headers={"Content-Type": sent, "Accept": accept})
            assert answer.status_code == 200, answer.text
            return answer.content

        told = json.loads(ask(table, "text/csv", "*/*"))
        assert list(told) == ["scores"]
        assert [list(item) for item in told["scores"]] == [["score"], ["score"]]
        scores = [item["score"] for item in told["scores"]]
        assert scores[0] > 2 * scores[1]
        body = json.dumps({"instances": [dense, sparse]})
        assert json.loads(ask(body, "application/json", "application/json")) == told
        lines = ask(
            f"{json.dumps(dense)}\n{json.dumps(sparse)}", "application/jsonlines", "application/jsonlines"
        )
        assert [json.loads(line) for line in lines.splitlines()] == told["scores"]
        assert ask(table, "text/csv", "text/csv").decode() == "".join(f"{score!r}\n" for score in scores)
        protobuf = ask(table, "text/csv", "application/x-recordio-protobuf")
        np.testing.assert_array_equal(
            records.decode(protobuf, Layout(None)).features.ravel(), np.float32(scores)
        )
        for wrong in ("1,2\n", "1,2,nan\n"):
            answer = server.invoke(wrong, headers={"Content-Type": "text/csv"})
            assert 400 <= answer.status_code < 500
            assert "row 1" in answer.text
