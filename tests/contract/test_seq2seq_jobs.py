"""Sequence-to-Sequence through `train` and `serve`: killed, stopped, its log, answers and refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import requests
from safetensors.numpy import load_file

pytest.importorskip("torch")

from optml.algorithms import registry
from optml.local.describe import metric_definitions
from tests.algorithms.seq2seq import sample
from tests.contract import server
from tests.contract.tree import Tree, end, read_until

SLUG = "seq2seq"
TRAIN = ("-m", "optml.container", "train")
JSON, LINES = "application/json", "application/jsonlines"
RECORDIO = "application/x-recordio-protobuf"


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", SLUG)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def job(root: Path, count: int = 100, **changes: object) -> Tree:
    tree = Tree(root)
    for number, name in enumerate(("train", "validation")):
        tree.write(f"input/data/{name}/a.rec", "")
        (tree.root / f"input/data/{name}/a.rec").write_bytes(sample.copies(count, number))
    for name, content in sample.FILES.items():
        tree.write(f"input/data/vocab/{name}", content.decode())
    tree.write("input/config/inputdataconfig.json", {name: {} for name in ("train", "validation", "vocab")})
    tree.hyperparameters(**(sample.SMALL | changes))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


@pytest.mark.slow
def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    changes = {"embed_dropout_source": 0.2, "bleu_sample_size": 5, "lr_scheduler_type": "fixed_rate_inv_t"}
    tree = job(tmp_path / "killed", **changes)
    tree.kill_at(f"{SLUG}-0.1-*.ckpt")
    resumed = tree.train(*TRAIN)
    assert resumed.code == 0, resumed.log
    assert re.search(r"Checkpoint loaded from \S+ at epoch [01]", resumed.log)
    whole = job(tmp_path / "whole", **changes)
    assert whole.train(*TRAIN).code == 0
    for name, array in arrays(whole).items():
        np.testing.assert_array_equal(arrays(tree)[name], array)


def test_stopped_it_leaves_a_model(tmp_path: Path) -> None:
    tree = job(tmp_path, 500, max_num_epochs=1000, checkpoint_frequency_num_batches=5)
    process = tree.start(*TRAIN)
    read_until(process, "Checkpoint [2]\tValidation-perplexity")
    process.terminate()
    assert end(process).code == 0
    assert arrays(tree)["source"].shape == (14, 8)


def test_the_log_is_as_sockeye_prints_it_and_published_regexes_read_it(tmp_path: Path) -> None:
    tree = job(
        tmp_path, 900, bleu_sample_size=3, checkpoint_frequency_num_batches=40, training_metric="accuracy"
    )
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    for definition in metric_definitions(registry.get(SLUG)):
        values = re.findall(definition["Regex"], ended.log)
        assert values, definition
        assert all(np.isfinite(float(value)) for value in values)
    messages, number = "\n".join(ended.messages), r"[0-9.]+"
    for line in (
        rf"Epoch\[0\] Batch \[50\]\tSpeed: {number} samples/sec\taccuracy={number}",
        rf"Checkpoint \[1\]\tUpdates=40 Epoch=0 Samples=\d+ Time-cost={number}",
        rf"Checkpoint \[1\]\tTrain-accuracy={number}",
        rf"Checkpoint \[1\]\tValidation-perplexity={number}",
        rf"Checkpoint \[3\]\tValidation-bleu={number}",
        rf"#quality_metric: host=algo-1, epoch=1, validation perplexity <loss>={number}",
        rf"#quality_metric: host=algo-1, epoch=0, train accuracy <score>={number}",
    ):
        assert re.search(f"^{line}$", messages, re.M), line
    assert "Traceback" not in ended.log


def test_early_stopping_ends_a_job_without_a_number_of_epochs(tmp_path: Path) -> None:
    tree = job(tmp_path, 30, max_num_epochs="", learning_rate=1e-9, checkpoint_threshold=2)
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    assert "Early stopping: validation:perplexity has not improved any more" in ended.log
    assert "Epoch 1: 30 records" in ended.log


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("validation", "channel 'validation' is required and was not given"),
        (
            "vocab.trg.json",
            "channel 'vocab' holds no file 'vocab.trg.json', or an empty one, but",
        ),
        (
            "id",
            "record 1 of train/a.rec: 'source' has the id 14, but the vocabulary",
        ),
        ("csv", "train/a.rec"),
        ("odd", "rnn_num_hidden=15 is odd"),
    ],
)
def test_bad_input_is_told_in_words(tmp_path: Path, change: str, message: str) -> None:
    tree = job(tmp_path, **({"rnn_num_hidden": 15} if change == "odd" else {}))
    data = tree.root / "input/data"
    if change == "validation":
        tree.write("input/config/inputdataconfig.json", {"train": {}, "vocab": {}})
    elif change == "vocab.trg.json":
        (data / "vocab" / change).unlink()
    elif change in ("id", "csv"):
        body = sample.encoded([([14], [4])]) if change == "id" else b"1,2,3\n"
        (data / "train/a.rec").write_bytes(body)
    ended = tree.train(*TRAIN)
    assert ended.code == 2, ended.log
    assert message in tree.failure
    assert "Traceback" not in ended.log


def test_a_server_translates_in_every_form(tmp_path: Path) -> None:
    tree = job(tmp_path, 30, max_num_epochs=1)
    assert tree.train(*TRAIN).code == 0
    with server.serving(tmp_path) as running:

        def ask(body: bytes, kind: str, accept: str = "") -> requests.Response:
            return running.invoke(body, headers={"Content-Type": kind, "Accept": accept})

        asked = {"data": "w1 w2", "configuration": {"attention_matrix": "true"}}
        body = json.dumps({"instances": [asked, {"data": ""}]}).encode()
        found = ask(body, JSON, "*/*").json()["predictions"]
        assert len(found[0]["matrix"]) == len(found[0]["target"].split())
        assert found[1] == {"target": ""}
        assert ask(b'{"source": "w1 w2"}\n', LINES).json() == {"target": found[0]["target"]}
        frames = ask(sample.encoded([([5, 6], [])]), RECORDIO, RECORDIO).content
        assert frames.startswith(b"\x0a\x23\xd7\xce")
        for refused, status, text in (
            (ask(body, JSON, LINES), 406, "Please use supported accept types: [application/json]"),
            (
                ask(b'{"instances": [{"text": "w1"}]}', JSON),
                400,
                'an object with \\"data\\", but it has',
            ),
        ):
            assert (refused.status_code, text in refused.text) == (status, True), refused.text
