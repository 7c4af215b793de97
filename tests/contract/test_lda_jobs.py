"""LDA through `train` and `serve`: killed, piped, stopped, and asked in any format."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from optml.algorithms import registry
from optml.formats import record_protobuf as recordio
from optml.formats.records import Records
from optml.local.describe import metric_definitions
from optml.local.feeder import Feeder
from tests.algorithms.topics.documents import documents
from tests.contract import server
from tests.contract.tree import HOSTS, Tree, end, train_together

TRAIN = ("-m", "optml.container", "train")
RECORDIO = "application/x-recordio-protobuf"
CSV = "text/csv;label_size=0"
WORDS = 60
COUNTS = documents(600)[0]
SETTINGS = {"feature_dim": WORDS, "num_topics": 4, "mini_batch_size": 600}
VOCABULARY = "".join(f"word{number}\n" for number in range(WORDS))


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "lda")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def csv(rows: np.ndarray) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows.astype(int).tolist())


def job(root: Path, channels: tuple[str, ...] = ("train",), **hyperparameters: object) -> Tree:
    tree = Tree(root)
    body = recordio.encode(Records(COUNTS))
    for name in channels:
        path = root / "input/data" / name / "a.pbr"
        path.parent.mkdir(parents=True)
        path.write_bytes(body)
    tree.write("input/config/inputdataconfig.json", {name: {"ContentType": RECORDIO} for name in channels})
    tree.hyperparameters(**(SETTINGS | hyperparameters))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


def test_killed_or_piped_or_as_dense_text_it_is_the_same_model(tmp_path: Path) -> None:
    tree = job(tmp_path / "killed")
    tree.kill_at("lda-0.1*.ckpt")  # all is read, and no topic known
    resumed = tree.train(*TRAIN)
    assert resumed.code == 0, resumed.log
    assert "Checkpoint loaded from" in resumed.log

    piped = job(tmp_path / "piped")
    config = {"train": {"ContentType": RECORDIO, "TrainingInputMode": "Pipe"}}
    piped.write("input/config/inputdataconfig.json", config)
    (piped.root / "input/data/train").rename(tmp_path / "source")
    with Feeder(piped.root / "input/data", "train", [tmp_path / "source"]):
        ended = piped.train(*TRAIN)
    assert ended.code == 0, ended.log

    text = job(tmp_path / "text", ())
    text.write("input/data/train/a.csv", csv(COUNTS.toarray()))
    text.write("input/config/inputdataconfig.json", {"train": {"ContentType": CSV}})
    assert text.train(*TRAIN).code == 0
    for other in (piped, text):
        for name, array in arrays(other).items():
            np.testing.assert_array_equal(arrays(tree)[name], array)


def test_told_to_stop_it_leaves_a_model_of_the_documents_so_far(tmp_path: Path) -> None:
    tree = job(tmp_path, ())
    config = {"train": {"ContentType": CSV, "TrainingInputMode": "Pipe"}}
    tree.write("input/config/inputdataconfig.json", config)
    (tmp_path / "input/data").mkdir(parents=True, exist_ok=True)
    fifo = tmp_path / "input/data/train_0"
    os.mkfifo(fifo)
    finish = threading.Event()

    def feed() -> None:
        with fifo.open("w") as writer:
            writer.write(200 * csv(COUNTS.toarray()))  # more than one block
            writer.flush()
            finish.wait()

    thread = threading.Thread(target=feed)
    tree.checkpoints()
    thread.start()
    try:
        with tree.held("lda-0.0-2.ckpt") as (process,):
            process.send_signal(signal.SIGTERM)
        ended = end(process)
    finally:
        finish.set()
        thread.join()
    assert ended.code == 0, ended.log
    assert arrays(tree)["beta"].shape == (4, WORDS)


def test_the_log_is_as_aws_prints_it_and_published_regexes_read_it(tmp_path: Path) -> None:
    tree = job(tmp_path, channels=("train", "test"), mini_batch_size=7)
    tree.write("input/data/auxiliary/vocab.txt", VOCABULARY)
    config = {name: {"ContentType": RECORDIO} for name in ("train", "test")}
    tree.write("input/config/inputdataconfig.json", config | {"auxiliary": {"ContentType": "text/plain"}})
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    for definition in metric_definitions(registry.get("lda")):
        values = re.findall(definition["Regex"], ended.log)
        assert values, definition
        assert all(np.isfinite(float(value)) for value in values)
    messages = "\n".join(ended.messages)
    for line in (
        r"Running LDA for 5 topics \(4 requested\)",
        r"Loaded all data into matrix with shape: \(600, 60\)",
        "mini_batch_size is 7, the documents are 600: all of them are used",
        r"Covariance matrix min value: -?[0-9.]+",
        "Finished SVD.",
        "Restart 1/10",
        r"\[CPDecomp\] Using svd initialization.",
        r"\[CPDecomp\] Using random initialization.",
        r"\[CPDecomp\] iter=[0-9]+, error=[0-9.]+, var=0.0",
        r"Converged to local minimum in [0-9]+ iterations.",
        r"Best reconstruction error: [0-9.]+",
        r"Topics from epoch:final \(num_topics:4\) \[, tu [0-9.]+\]:",
        r"word[0-9]+ word[0-9]+ .*",
        "Serializing LDA model to /opt/ml/model/model_algo-1",
        r"#quality_metric: host=algo-1, test pwll <score>=-[0-9.]+",
    ):
        assert re.search(f"^{line}$", messages, re.M), line
    assert '"Algorithm": "LDA"' in ended.log
    assert (tree.model / "vocab.txt").read_text() == VOCABULARY


def test_two_hosts_are_the_user_s_to_mend(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    hosts = [job(tmp_path / name) for name in HOSTS]
    for tree, ended in zip(hosts, train_together(hosts, *TRAIN), strict=True):
        assert ended.code == 2, ended.log
        assert "LDA trains on one machine" in tree.failure


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("1,2,3\n4,5\n", {}, r"row 2 of \S*a.csv"),
        ("1,2,3\n4,-5,6\n", {}, r"row 2 of \S*a.csv holds -5 for word 1"),
        ("1,2,3\n4,nan,6\n", {}, r"row 2 of \S*a.csv holds NaN"),
        ("1,0,0\n0,1,0\n", {}, "no document of channel 'train' holds 3 words or more, of 2"),
        ("1,2,3\n", {"num_topics": 9}, "there are at most 3 topics: lower num_topics"),
        ("1,2,3\n", {"alfa0": 1}, "alpha0"),
    ],
)
def test_what_cannot_be_trained_on_is_the_user_s_to_mend(
    tmp_path: Path, text: str, settings: dict[str, Any], message: str
) -> None:
    tree = Tree(tmp_path)
    tree.write("input/data/train/a.csv", text)
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": CSV}})
    tree.hyperparameters(**(SETTINGS | {"feature_dim": 3, "num_topics": 1} | settings))
    ended = tree.train(*TRAIN)
    assert ended.code == 2, ended.log
    assert re.search(message, tree.failure), tree.failure
    assert "Traceback" not in ended.log


def test_answers_are_the_same_in_every_format_from_our_model_and_aws_s(tmp_path: Path) -> None:
    tree = job(tmp_path, _refine="false")
    assert tree.train(*TRAIN).code == 0
    few = COUNTS[:3]
    sparse = [
        {"data": {"features": {"keys": keys.tolist(), "shape": [WORDS], "values": values.tolist()}}}
        for keys, values in ((few[[i]].indices, few[[i]].data) for i in range(3))
    ]
    dense = few.toarray().tolist()
    model = registry.get("lda").inference.load(tree.model, "cpu")
    expected = model.predict(Records(few), {})["topic_mixture"].astype(float).tolist()
    assert 0.0 in np.ravel(expected)

    def check(served: server.Server) -> None:
        def ask(body: Any, kind: str, accept: str = "application/json") -> bytes:
            answer = served.invoke(body, headers={"Content-Type": kind, "Accept": accept})
            assert answer.status_code == 200, answer.text
            return answer.content

        bodies: list[tuple[Any, str]] = [
            (json.dumps({"instances": [sparse[0], {"features": dense[1]}, sparse[2]]}), "application/json"),
            ("\n".join(map(json.dumps, sparse)), "application/jsonlines"),
            (csv(few.toarray()), "text/csv"),
            (recordio.encode(Records(few)), RECORDIO),
            (recordio.encode(Records(few.toarray())), RECORDIO),
        ]
        for body, kind in bodies:
            answers = json.loads(ask(body, kind))
            assert answers == {"predictions": [{"topic_mixture": row} for row in expected]}, kind
        lines = ask(*bodies[1], "application/jsonlines").splitlines()
        assert [json.loads(line) for line in lines] == answers["predictions"]
        assert ask(*bodies[2], RECORDIO).count(b"topic_mixture") == 3
        for body, kind, message in (
            ("1,2\n", "text/csv", "2"),
            (",".join(["-1"] * WORDS), "text/csv", "holds -1 for word 0"),
        ):
            refused = served.invoke(body, headers={"Content-Type": kind})
            assert refused.status_code == 400
            assert message in refused.text

    with server.serving(tmp_path) as served:
        check(served)
    for path in tree.model.iterdir():
        if path.name != "model_algo-1":
            path.unlink()
    with server.serving(tmp_path) as served:
        check(served)
