"""The Neural Topic Model through `train` and `serve`: killed, piped, stopped, on two hosts, in any format."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

pytest.importorskip("torch")

from optml.algorithms import registry
from optml.formats import record_protobuf as recordio
from optml.formats.records import Records
from optml.local.describe import metric_definitions
from optml.local.feeder import Feeder
from tests.algorithms.topics.documents import documents
from tests.contract import server
from tests.contract.tree import HOSTS, Tree, end, read_until, train_together

TRAIN = ("-m", "optml.container", "train")
RECORDIO = "application/x-recordio-protobuf"
WORDS = 60
SETTINGS = {"feature_dim": WORDS, "num_topics": 4, "mini_batch_size": 50, "epochs": 3}
VOCABULARY = "".join(f"word{number}\n" for number in range(WORDS))


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "ntm")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def job(root: Path, n: int = 600, channels: tuple[str, ...] = ("train",), **given: object) -> Tree:
    tree = Tree(root)
    body = recordio.encode(Records(documents(n)[0]))
    for name in channels:
        path = root / "input/data" / name / "a.pbr"
        path.parent.mkdir(parents=True)
        path.write_bytes(body)
    tree.write("input/config/inputdataconfig.json", {name: {"ContentType": RECORDIO} for name in channels})
    tree.hyperparameters(**(SETTINGS | given))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


@pytest.mark.slow
def test_killed_and_restarted_through_a_pipe_is_undisturbed(tmp_path: Path) -> None:
    given: dict[str, Any] = {"n": 600, "sub_sample": 0.7}
    tree = job(tmp_path / "killed", **given)
    tree.kill_at("ntm-0.1-*.ckpt")
    resumed = tree.train(*TRAIN)
    assert resumed.code == 0, resumed.log
    assert re.search(r"Checkpoint loaded from \S+ at epoch [12]", resumed.log)

    piped = job(tmp_path / "piped", **given)
    config = {"train": {"ContentType": RECORDIO, "TrainingInputMode": "Pipe"}}
    piped.write("input/config/inputdataconfig.json", config)
    data = piped.root / "input/data"
    (data / "train").rename(tmp_path / "source")
    with Feeder(data, "train", [tmp_path / "source"]):
        ended = piped.train(*TRAIN)
    assert ended.code == 0, ended.log
    for name, array in arrays(piped).items():
        np.testing.assert_array_equal(arrays(tree)[name], array)


def test_two_hosts_agree_on_one_model(tmp_path: Path) -> None:
    hosts = [job(tmp_path / name, channels=("train", "validation")) for name in HOSTS]
    both = train_together(hosts, *TRAIN)
    for ended in both:
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    assert "# Finished training epoch 3 on 300 examples from 6 batches, each of size 50." in both[0].log
    assert arrays(hosts[0])["projection.weight"].shape == (WORDS, 4)


def test_stopped_it_leaves_a_model(tmp_path: Path) -> None:
    tree = job(tmp_path, epochs=100_000, num_patience_epochs=200_000)
    process = tree.start(*TRAIN)
    read_until(process, "# Starting training for epoch 3")
    process.terminate()
    assert end(process).code == 0
    assert arrays(tree)["projection.weight"].shape == (WORDS, 4)
    assert (tree.model / "topics.txt").read_text().startswith("# topic tu words\n0 ")


def test_the_log_is_as_aws_prints_it_and_published_regexes_read_it(tmp_path: Path) -> None:
    tree = job(tmp_path, channels=("train", "validation", "test"), epochs=30, num_patience_epochs=1)
    tree.hyperparameters(**(SETTINGS | {"epochs": 60, "num_patience_epochs": 1, "tolerance": 0.1}))
    tree.write("input/data/auxiliary/vocab.txt", VOCABULARY)
    config = {name: {"ContentType": RECORDIO} for name in ("train", "validation", "test")}
    tree.write("input/config/inputdataconfig.json", config | {"auxiliary": {"ContentType": "text/plain"}})
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    for definition in metric_definitions(registry.get("ntm")):
        found = re.findall(definition["Regex"], ended.log)
        assert found, definition
        assert all(np.isfinite(float(number)) for number in found)
    messages = "\n".join(ended.messages)
    for line in (
        "# Starting training for epoch 1",
        "# Finished training epoch 1 on 600 examples from 12 batches, each of size 50.",
        "Metrics for Training:",
        r"Loss \(name: value\) kld: [0-9.e-]+",
        r"#quality_metric: host=algo-1, epoch=1, train total_loss <loss>=[0-9.]+",
        "Finished scoring on 600 examples from 12 batches, each of size 50.",
        r"#validation_score \(1\): [0-9.]+",
        r"patience losses:\[[0-9.]+\] min patience loss:[0-9.]+ current loss:[0-9.]+ "
        r"absolute loss difference:[0-9.e-]+",
        r"Bad epoch: loss has not improved \(enough\). Bad count:2",
        "Bad epochs exceeded patience. Stopping training early!",
        r"Timing: train: [0-9.]+s, val: [0-9.]+s, epoch: [0-9.]+s",
        r"Best model based on early stopping at epoch [0-9]+. Best loss: [0-9.]+",
        r"Topics from epoch:final \(num_topics:4\) \[wetc -?[0-9.]+, tu [0-9.]+\]:",
        r"\[-?[0-9.]+, [0-9.]+\] word[0-9]+ word[0-9]+ .*",
        r"#test_score \(algo-1, total_loss\): [0-9.]+",
        r"#quality_metric: host=algo-1, epoch=[0-9]+, test total_loss <loss>=[0-9.]+",
    ):
        assert re.search(f"^{line}$", messages, re.M), line
    finals = re.findall(r"epoch=(\d+), validation total_loss <loss>=(\S+)", messages)
    best = re.findall(r"early stopping at epoch (\d+)\. Best loss: (\S+)", messages)
    assert finals == best  # the model kept is the best, and scores the same once more
    assert (tree.model / "vocab.txt").read_text() == VOCABULARY


@pytest.mark.parametrize(
    ("csv", "given", "message"),
    [
        ("1,2,3\n4,5\n", {"feature_dim": 3}, r"row 2 of \S*a.csv"),
        ("1,2,3\n4,5,6,7\n", {"feature_dim": 3}, r"row 2 of \S*a.csv"),
        ("1,2,3\n4,-5,6\n", {"feature_dim": 3}, r"row 2 of \S*a.csv holds -5 for word 1"),
        ("1,2,3\n4,nan,6\n", {"feature_dim": 3}, r"row 2 of \S*a.csv holds NaN"),
        ("0,0,0\n0,0,0\n", {"feature_dim": 3}, "every document of channel 'train' is empty"),
        ("1,2,3\n", {"feature_dim": 3, "optimizer": "lion"}, "optimizer='lion' is not one of 'sgd', 'adam'"),
    ],
)
def test_what_cannot_be_trained_on_is_the_user_s_to_mend(
    tmp_path: Path, csv: str, given: dict[str, Any], message: str
) -> None:
    tree = Tree(tmp_path)
    tree.write("input/data/train/a.csv", csv)
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": "text/csv"}})
    tree.hyperparameters(**(SETTINGS | given))
    ended = tree.train(*TRAIN)
    assert ended.code == 2, ended.log
    assert re.search(message, tree.failure), tree.failure
    assert "Traceback" not in ended.log


def test_a_vocabulary_of_another_size_is_the_user_s_to_mend(tmp_path: Path) -> None:
    tree = job(tmp_path)
    tree.write("input/data/auxiliary/vocab.txt", "one\ntwo\n")
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": RECORDIO}, "auxiliary": {}})
    assert tree.train(*TRAIN).code == 2
    assert "auxiliary/vocab.txt has 2 lines, but feature_dim is 60" in tree.failure


@pytest.mark.slow
def test_answers_are_the_same_in_every_format_from_our_model_and_aws_s(tmp_path: Path) -> None:
    tree = job(tmp_path, epochs=1)
    assert tree.train(*TRAIN).code == 0
    few = documents()[0][:3]
    sparse = [
        {"data": {"features": {"keys": keys.tolist(), "shape": [WORDS], "values": values.tolist()}}}
        for keys, values in ((few[[i]].indices, few[[i]].data) for i in range(3))
    ]
    dense = few.toarray().tolist()
    model = registry.get("ntm").inference.load(tree.model, "cpu")
    expected = model.predict(Records(few), {})["topic_weights"].astype(float).tolist()

    def check(served: server.Server) -> None:
        def ask(body: Any, kind: str, accept: str = "application/json") -> bytes:
            answer = served.invoke(body, headers={"Content-Type": kind, "Accept": accept})
            assert answer.status_code == 200, answer.text
            return answer.content

        bodies: list[tuple[Any, str]] = [
            (json.dumps({"instances": [sparse[0], {"features": dense[1]}, sparse[2]]}), "application/json"),
            (json.dumps({"instances": [{"features": row} for row in dense]}), "application/json"),
            ("\n".join(map(json.dumps, sparse)), "application/jsonlines"),
            ("\n".join(",".join(map(str, row)) for row in dense), "text/csv"),
            (recordio.encode(Records(few)), RECORDIO),
            (recordio.encode(Records(few.toarray())), RECORDIO),
        ]
        for body, kind in bodies:
            found = json.loads(ask(body, kind))
            assert found == {"predictions": [{"topic_weights": row} for row in expected]}, kind
        lines = ask(*bodies[2], "application/jsonlines").splitlines()
        assert [json.loads(line) for line in lines] == found["predictions"]
        assert ask(*bodies[3], RECORDIO).count(b"topic_weights") == 3
        for body, kind, message in (
            ("1,2\n", "text/csv", "2"),
            (",".join(["-1"] * WORDS), "text/csv", "holds -1 for word 0"),
            (
                json.dumps({"instances": [{"data": {"features": {"keys": [60], "values": [1]}}}]}),
                "application/json",
                "60",
            ),
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
