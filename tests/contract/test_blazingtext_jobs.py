"""BlazingText through `train` and `serve`: stopped, through a FIFO, on two hosts, and asked."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from optml.algorithms import registry
from optml.formats.recordio import frame
from optml.local.describe import metric_definitions
from optml.local.feeder import Feeder
from tests.algorithms.blazingtext.sample import topics
from tests.contract.server import serving
from tests.contract.tree import HOSTS, Tree, end, read_until, train_together

TRAIN = ("-m", "optml.container", "train")
SMALL = {"vector_dim": 8, "min_count": 1, "buckets": 1000, "epochs": 5, "learning_rate": 0.5}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "blazingtext")


@pytest.mark.slow
def test_a_classifier_is_trained_scored_and_served(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("input/data/train/a.txt", topics(400, True))
    tree.write("input/data/validation/a.txt", topics(100, True, seed=1))
    channels = {name: {"ContentType": "text/plain"} for name in ("train", "validation")}
    tree.write("input/config/inputdataconfig.json", channels)
    tree.hyperparameters(
        mode="supervised", early_stopping=True, min_epochs=2, patience=2, **(SMALL | {"epochs": 20})
    )
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    metrics = {m["Name"]: m["Regex"] for m in metric_definitions(registry.get("blazingtext"))}
    for name in ("train:accuracy", "validation:accuracy"):
        assert float(re.findall(metrics[name], ended.log)[-1]) > 0.95
    assert "Validation accuracy improved! Storing best weights..." in ended.log
    scored = re.findall(r"End of epoch: (\d)", ended.log)
    assert scored == [str(epoch) for epoch in range(2, 2 + len(scored))]
    assert 3 <= len(scored) < 15  # perfect early on, and then two epochs of patience
    assert "Early stopping: validation:accuracy has not improved any more" in ended.log
    assert "is empty on every host" not in ended.log
    assert "Number of validation examples: 100" in ended.log
    with serving(tmp_path) as server:
        body = '{"instances": ["cat1 cat2 the", "sea4"], "configuration": {"k": 2}}'
        answer = server.invoke(body, headers={"Content-Type": "application/json", "Accept": "text/csv"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        assert [row["label"][0] for row in answer.json()] == ["__label__0", "__label__1"]
        lines = server.invoke('{"source": "cat1"}', headers={"Content-Type": "application/jsonlines"})
        assert re.fullmatch(r'\{"prob": \[\S+\], "label": \["__label__0"\]\}\n', lines.text)
        refused = server.invoke("x", headers={"Content-Type": "text/csv"})
        assert (refused.status_code, "text/csv not supported" in refused.text) == (415, True)
        broken = server.invoke('{"instances": 1}', headers={"Content-Type": "application/json"})
        assert broken.status_code == 400
        assert "Unable to decode payload: Incorrect data format." in broken.text


def test_a_job_that_is_stopped_leaves_vectors(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("input/data/train/a.txt", topics(2000, False))
    tree.hyperparameters(mode="batch_skipgram", **(SMALL | {"epochs": 100_000}))
    process = tree.start(*TRAIN)
    read_until(process, "Epoch 2 of")
    process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert ended.code == 0, ended.log
    assert (tree.model / "vectors.txt").read_text().startswith("28 8\n")


@pytest.mark.parametrize(
    "given",
    [
        {"mode": "cbow", "learning_rate": 0.05},
        {"mode": "supervised", "early_stopping": True, "min_epochs": 1},
    ],
)
def test_killed_and_restarted_is_undisturbed(tmp_path: Path, given: dict[str, object]) -> None:
    trees = [Tree(tmp_path / name) for name in ("killed", "undisturbed")]
    for tree in trees:
        tree.write("input/data/train/a.txt", topics(2000, given["mode"] == "supervised"))
        if given["mode"] == "supervised":
            tree.write("input/data/validation/a.txt", topics(200, True, seed=1))
        tree.hyperparameters(**(SMALL | given))
    trees[0].kill_at("blazingtext-0.1-*.ckpt")
    resumed, whole = (tree.train(*TRAIN) for tree in trees)
    assert "Checkpoint loaded from" in resumed.log
    name = "model.bin" if given["mode"] == "supervised" else "vectors.bin"
    assert (trees[0].model / name).read_bytes() == (trees[1].model / name).read_bytes()
    last = re.findall(r"#validation_accuracy: (\S+)", whole.log)[-1:]
    assert re.findall(r"#validation_accuracy: (\S+)", resumed.log)[-1:] == last


def test_text_comes_through_a_fifo_once(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    source = tree.write("source.txt", topics(400, True))
    tree.write("input/config/inputdataconfig.json", {"train": {"TrainingInputMode": "Pipe"}})
    tree.hyperparameters(mode="supervised", **SMALL)
    with Feeder(tmp_path / "input/data", "train", [source]):
        ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    assert "The FIFO is read once" in ended.log
    assert (tree.model / "model.bin").is_file()


@pytest.mark.parametrize("mode", ["cbow", "supervised"])
def test_a_job_stopped_while_it_reads_the_text_leaves_nothing(tmp_path: Path, mode: str) -> None:
    tree = Tree(tmp_path)
    tree.write("input/config/inputdataconfig.json", {"train": {"TrainingInputMode": "Pipe"}})
    tree.write("input/data/readme", "")
    tree.hyperparameters(mode=mode, **SMALL)
    fifo = tmp_path / "input/data/train_0"
    os.mkfifo(fifo)
    process = tree.start(*TRAIN)
    with fifo.open("wb") as writer:  # opens once the job reads
        writer.write(topics(100, True).encode())
        writer.flush()
        process.send_signal(signal.SIGTERM)
        ended = end(process)
    assert ended.code == 0, ended.log
    assert "Stopping before training has begun" in ended.log
    assert not list(tree.model.iterdir())


def test_examples_of_an_augmented_manifest_come_through_a_fifo(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    records = []
    for line in topics(200, True).splitlines():
        words = [word for word in line.split() if not word.startswith("__label__")]
        label = re.findall(r"__label__(\d)", line)[0]
        records += [" ".join(words).encode(), label.encode()]
    source = tmp_path / "source.rec"
    source.write_bytes(b"".join(frame(record) for record in records))
    described = {
        "TrainingInputMode": "Pipe",
        "RecordWrapperType": "RecordIO",
        "ContentType": "application/x-recordio",
    }
    tree.write("input/config/inputdataconfig.json", {"train": described})
    tree.hyperparameters(mode="supervised", **(SMALL | {"epochs": 1}))
    with Feeder(tmp_path / "input/data", "train", [source]):
        ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    assert "Number of train examples: 200" in ended.log
    assert b"__label__0" in (tree.model / "model.bin").read_bytes()


def test_two_hosts_learn_vectors_and_the_first_leaves_them(tmp_path: Path) -> None:
    trees = [Tree(tmp_path / name) for name in HOSTS]
    for tree in trees:
        tree.write("input/data/train/a.txt", topics(2000, False))
        tree.hyperparameters(mode="batch_skipgram", **SMALL)
    ended = train_together(trees, *TRAIN)
    assert [one.code for one in ended] == [0, 0], ended[0].log + ended[1].log
    assert "Running distributed CPU BlazingText training using batch_skipgram on 2 hosts." in ended[0].log
    assert (trees[0].model / "vectors.bin").is_file()
    assert not trees[1].model.exists()
