"""K-Nearest Neighbors through `train` and `serve`: killed and resumed, through a FIFO, stopped, asked."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms import registry
from optml.algorithms.answers import Response
from optml.algorithms.knn import ALGORITHM
from optml.algorithms.knn.model import load
from optml.formats.records import Records
from optml.local.describe import metric_definitions
from optml.serving.codecs import encode
from tests.algorithms.knn.training import blobs
from tests.contract.server import serving
from tests.contract.tree import HOSTS, Tree, end, train_together

KNN = ("-m", "optml.container", "train")
FILES = ("model_algo-1", "model_algo-1.labels", "model_algo-1.json")
ROWS, LABELS = blobs(4000)
SETTINGS = {
    "k": 5,
    "predictor_type": "classifier",
    "sample_size": 1500,
    "mini_batch_size": 200,
    "dimension_reduction_type": "sign",
    "dimension_reduction_target": 5,
}
CSV = "text/csv;label_size=1"


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "knn")


def csv(rows: np.ndarray, labels: np.ndarray) -> str:
    return "".join(",".join(map(repr, row)) + "\n" for row in np.c_[labels, rows].tolist())


def job(root: Path, **hyperparameters: object) -> Tree:
    tree = Tree(root)
    tree.write("input/data/train/rows.csv", csv(ROWS, LABELS))
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": CSV}})
    tree.hyperparameters(**(SETTINGS | hyperparameters))
    return tree


def content(tree: Tree) -> list[bytes]:
    return [(tree.model / name).read_bytes() for name in FILES]


def test_killed_and_resumed_or_through_a_pipe_it_is_the_same_model(tmp_path: Path) -> None:
    tree = job(tmp_path / "killed")
    tree.kill_at("knn-0.*.ckpt")
    resumed = tree.train(*KNN)
    assert resumed.code == 0, resumed.log
    assert "Checkpoint loaded from" in resumed.log

    piped = job(tmp_path / "piped")
    (piped.root / "input/data/train/rows.csv").unlink()
    config = {"train": {"ContentType": CSV, "TrainingInputMode": "Pipe"}}
    piped.write("input/config/inputdataconfig.json", config)
    fifo = piped.root / "input/data/train_0"
    os.mkfifo(fifo)
    feeder = threading.Thread(target=fifo.write_text, args=(csv(ROWS, LABELS),))
    feeder.start()
    ended = piped.train(*KNN)
    feeder.join()
    assert ended.code == 0, ended.log
    assert content(piped) == content(tree)


def test_two_hosts_that_keep_all_rows_leave_the_files_of_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    hosts = [job(tmp_path / name, sample_size=10_000) for name in HOSTS]
    for ended in train_together(hosts, *KNN):
        assert ended.code == 0, ended.log
    alone = job(tmp_path / "alone", sample_size=10_000)
    assert alone.train(*KNN).code == 0
    assert content(hosts[0]) == content(alone)


def test_published_regexes_read_every_metric_from_the_log(tmp_path: Path) -> None:
    logs = []
    for predictor in ("classifier", "regressor"):
        tree = job(tmp_path / predictor, predictor_type=predictor)
        tree.write("input/data/test/rows.csv", csv(ROWS[:500], LABELS[:500]))
        config = {name: {"ContentType": CSV} for name in ("train", "test")}
        tree.write("input/config/inputdataconfig.json", config)
        logs.append(tree.train(*KNN).log)
    for definition in metric_definitions(registry.get("knn")):
        assert re.findall(definition["Regex"], "".join(logs)), definition
    assert re.search(r"#test_score \(algo-1\) : \('accuracy', 0\.\d+\)", logs[0])
    assert re.search(r"#test_score \(algo-1\) : \('macro_f_1\.000', 0\.\d+\)", logs[0])
    assert re.search(r"#test_score \(algo-1\) : \('mse', 0\.\d+\)", logs[1])
    assert '"Algorithm": "AWS/KNN"' in logs[0]


def test_rows_with_nan_are_left_out_and_counted(tmp_path: Path) -> None:
    tree = job(tmp_path)
    tree.hyperparameters(k=1, predictor_type="classifier", sample_size=100)
    config = {name: {"ContentType": CSV} for name in ("train", "test")}
    tree.write("input/config/inputdataconfig.json", config)
    tree.write("input/data/train/rows.csv", "1,nan,2\n1,,3\n0,4,5\n1,6,7\n")
    tree.write("input/data/test/rows.csv", "0,nan,2\n0,4,5\n")
    ended = tree.train(*KNN)
    assert ended.code == 0, ended.log
    assert "...Got reservoir sample from algo-1: data=(2, 2), labels=(2,), NaNs=2" in ended.messages
    assert "#quality_metric: host=algo-1, test accuracy <score>=1.0" in ended.messages


def test_told_to_stop_it_leaves_a_model_of_the_rows_so_far(tmp_path: Path) -> None:
    tree = job(tmp_path)
    (tmp_path / "input/data/train/rows.csv").unlink()
    config = {"train": {"ContentType": CSV, "TrainingInputMode": "Pipe"}}
    tree.write("input/config/inputdataconfig.json", config)
    fifo = tmp_path / "input/data/train_0"
    os.mkfifo(fifo)
    finish = threading.Event()

    def feed() -> None:
        with fifo.open("w") as writer:
            writer.write(30 * csv(ROWS, LABELS))  # more than one block
            writer.flush()
            finish.wait()

    thread = threading.Thread(target=feed)
    tree.checkpoints()
    thread.start()
    try:
        with tree.held("knn-0.*-2.ckpt") as (process,):  # some is absorbed
            process.send_signal(signal.SIGTERM)
        ended = end(process)
    finally:
        finish.set()
        thread.join()
    assert ended.code == 0, ended.log
    assert len(load(tree.model, "cpu").labels) > 0


@pytest.mark.parametrize(
    ("text", "content_type", "said"),
    [
        ("1,2,3\n4,5,6\n", "text/csv;label_size=0", "row 1 of train/rows.csv has no label: CSV needs"),
        ("0,1,2\n1,2,inf\n", CSV, "row 2 of train/rows.csv holds infinity"),
        ("0,1,2\n" * 300, CSV, "dimension_reduction_target is 5, but there are 2 features"),
    ],
)
def test_bad_rows_are_the_users_to_mend(tmp_path: Path, text: str, content_type: str, said: str) -> None:
    tree = job(tmp_path)
    tree.write("input/data/train/rows.csv", text)
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": content_type}})
    ended = tree.train(*KNN)
    assert ended.code == 2, ended.log
    assert said in tree.failure
    assert "Traceback" not in ended.log


@pytest.mark.parametrize("kind", ["faiss.Flat", "faiss.IVFFlat"])
def test_a_trained_model_is_served_by_several_workers(tmp_path: Path, kind: str) -> None:
    tree = job(tmp_path, index_type=kind, sample_size=4000)
    assert tree.train(*KNN).code == 0
    model = load(tree.model, "cpu")
    asked = ROWS[:3]
    plain = encode(model.predict(Records(asked), {}), "application/json", Response()).decode()
    verbose = model.predict(Records(asked), {"verbose": "true"})
    lines = encode(verbose, "application/jsonlines", ALGORITHM.inference.response).decode()
    with serving(tmp_path, SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
        body = "\n".join(",".join(map(repr, row)) for row in asked.tolist())
        for _ in range(6):  # both workers
            answer = server.invoke(body, headers={"Content-Type": "text/csv"})
            assert answer.text == plain
        accept = {"Accept": "application/jsonlines; VERBOSE=True"}
        answer = server.invoke(body, headers={"Content-Type": "text/csv"} | accept)
        assert answer.text == lines
        assert answer.headers["Content-Type"] == "application/jsonlines"
        assert list(json.loads(lines.splitlines()[0])) == ["predicted_label", "distances", "labels"]
        instances = [{"features": asked[0].tolist()}, {"data": {"features": {"values": asked[1].tolist()}}}]
        answer = server.invoke(
            json.dumps({"instances": instances}), headers={"Content-Type": "application/json"}
        )
        assert [set(record) for record in answer.json()["predictions"]] == [{"predicted_label"}] * 2
        labelled = "\n".join("9," + row for row in body.splitlines())
        answer = server.invoke(labelled, headers={"Content-Type": "text/csv; label_size=1"})
        assert answer.text == plain
        refused = server.invoke("1,2", headers={"Content-Type": "text/csv"})
        assert refused.status_code == 400
        assert "6" in refused.text
        refused = server.invoke("1,2,3,4,5,nan", headers={"Content-Type": "text/csv"})
        assert refused.status_code == 400
        assert "NaN" in refused.text
