"""Object2Vec through `train` and `serve`: killed, stopped, on two hosts, its log, answers and refusals."""

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
from optml.local.describe import metric_definitions
from tests.algorithms.object2vec.training import SMALL, pairs
from tests.contract import server
from tests.contract.tree import HOSTS, Tree, end, read_until, train_together

SLUG = "object2vec"
TRAIN = ("-m", "optml.container", "train")
LINES = "application/jsonlines"
SYSTEM = {"_kvstore": "device", "_num_gpus": "auto", "_num_kv_servers": "auto"}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", SLUG)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def job(root: Path, count: int = 200, channels: tuple[str, ...] = ("train",), **changes: object) -> Tree:
    tree = Tree(root)
    for number, name in enumerate(channels):
        body = "".join(json.dumps(pair) + "\n" for pair in pairs(count, seed=number))
        tree.write(f"input/data/{name}/a.jsonl", body)
    tree.write("input/config/inputdataconfig.json", {name: {"ContentType": LINES} for name in channels})
    tree.hyperparameters(**(SMALL | SYSTEM | changes))
    return tree


def arrays(tree: Tree) -> dict[str, np.ndarray]:
    return load_file(tree.model / "model.safetensors")


@pytest.mark.slow
def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"dropout": 0.2, "negative_sampling_rate": 2, "bucket_width": 3}
    tree = job(tmp_path / "killed", **changes)
    tree.kill_at(f"{SLUG}-0.1-*.ckpt")
    resumed = tree.train(*TRAIN)
    assert resumed.code == 0, resumed.log
    assert re.search(r"Checkpoint loaded from \S+ at epoch [01]", resumed.log)
    whole = job(tmp_path / "whole", **changes)
    assert whole.train(*TRAIN).code == 0
    for name, array in arrays(whole).items():
        np.testing.assert_array_equal(arrays(tree)[name], array)


def test_two_hosts_agree_on_one_model(tmp_path: Path) -> None:
    hosts = [job(tmp_path / name, channels=("train", "validation")) for name in HOSTS]
    both = train_together(hosts, *TRAIN)
    for ended in both:
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    assert "Completed Epoch: 1" in both[0].log
    assert "Completed Epoch" not in both[1].log


def test_stopped_it_leaves_a_model(tmp_path: Path) -> None:
    tree = job(tmp_path, epochs=100, count=2000, early_stopping_patience=5)
    process = tree.start(*TRAIN)
    read_until(process, "Completed Epoch: 1,")
    process.terminate()
    assert end(process).code == 0
    assert arrays(tree)["enc0.embedding.weight"].shape == (30, 6)


def test_the_log_is_as_aws_prints_it_and_published_regexes_read_it(tmp_path: Path) -> None:
    changes = {"epochs": 60, "early_stopping_patience": 1, "early_stopping_tolerance": 0.1}
    every = ("train", "validation", "test")
    tree = job(tmp_path / "classes", 1000, every, **changes, negative_sampling_rate=1)
    ended = tree.train(*TRAIN)
    assert ended.code == 0, ended.log
    numbers = job(tmp_path / "numbers", 30, every, output_layer="mean_squared_error").train(*TRAIN)
    assert numbers.code == 0, numbers.log
    for definition in metric_definitions(registry.get(SLUG)):
        values = re.findall(definition["Regex"], ended.log + numbers.log)
        assert values, definition
        assert all(np.isfinite(float(value)) for value in values)
    messages = "\n".join(ended.messages)
    number = r"[0-9.e-]+"
    for line in (
        "Total: 1000 samples in 1 buckets",
        r"Bucket of \(8, 8\) : 1000 samples in 125 batches of 8, approx \d+.\d+ words/batch",
        "Negative sampling enabled with sampling rate 1",
        r"Epoch: 0, batches: 100, num_examples: \d+, [0-9.]+ samples/sec, epoch time so far: 0:00:[0-9.]+",
        rf"\tTraining metrics: perplexity: {number} cross_entropy: {number} accuracy: {number}",
        "Completed Epoch: 0, time taken: 0:00:[0-9.]+",
        rf"Epoch 0 Training metrics:   perplexity: {number} cross_entropy: {number} accuracy: {number}",
        rf"#quality_metric: host=algo-1, epoch=0, train cross_entropy <loss>={number}",
        rf"#quality_metric: host=algo-1, epoch=0, train accuracy <score>={number}",
        rf"Epoch 0 Validation metrics: perplexity: {number} cross_entropy: {number} accuracy: {number}",
        rf"#quality_metric: host=algo-1, epoch=0, validation cross_entropy <loss>={number}",
        r"#progress_metric: host=algo-1, completed 1.\d+ % of epochs",
        r"#throughput_metric: host=algo-1, train throughput=[0-9.]+ records/second",
        rf"patience losses: \[{number}\]",
        rf"min patience losses: {number}",
        rf"current loss: {number}",
        rf"absolute loss difference: {number}",
        r"Bad epoch: loss has not improved \(enough\). Bad count:2",
        "Bad epochs exceeded patience. Stopping training early!",
        r"Early stopping criterion met! Stopping training at epoch: \d+",
        r"#progress_metric: host=algo-1, completed 100 % epochs",
        r"Best model based on epoch \d+. Best loss: [0-9.]+",
        rf"#test_score \(algo-1\) : \('cross_entropy', {number}\)",
        rf"#quality_metric: host=algo-1, test cross_entropy <loss>={number}",
        rf"#quality_metric: host=algo-1, test accuracy <score>={number}",
    ):
        assert re.search(f"^{line}$", messages, re.M), line
    assert '"Algorithm": "ObjectToVec"' in messages
    assert "Traceback" not in ended.log


@pytest.mark.parametrize(
    ("line", "changes", "message"),
    [
        (
            '{"label": 1, "in0": [1], "in1": [30]}',
            {},
            r'line 2 of \S*train/a.jsonl: Inconsistent vocab for in1 found. Vocab id "30" is not less than '
            "vocab_size=30",
        ),
        ("1,2,3", {}, r"line 2 of \S*train/a.jsonl"),
        ("", {"comparator_list": "cosine"}, "comparator_list names 'cosine'"),
        ("", {"feature_dim": "5"}, "hyperparameter 'feature_dim' is unknown"),
        ("", {"enc0_vocab_size": "1"}, "enc0_vocab_size='1'"),
    ],
)
def test_what_cannot_be_trained_on_is_the_user_s_to_mend(
    tmp_path: Path, line: str, changes: dict[str, Any], message: str
) -> None:
    tree = job(tmp_path, **changes)
    tree.write("input/data/train/a.jsonl", '{"label": 1, "in0": [1], "in1": [2]}\n' + line + "\n")
    ended = tree.train(*TRAIN)
    assert ended.code == 2, ended.log
    assert re.search(message, tree.failure), tree.failure
    assert "Traceback" not in ended.log


def test_other_content_types_and_modes_are_refused(tmp_path: Path) -> None:
    tree = job(tmp_path)
    tree.write("input/config/inputdataconfig.json", {"train": {"ContentType": "application/x-recordio"}})
    assert tree.train(*TRAIN).code == 2
    assert "application/jsonlines" in tree.failure


def test_a_server_scores_pairs_and_embeds_inputs(tmp_path: Path) -> None:
    tree = job(tmp_path, epochs=1)
    assert tree.train(*TRAIN).code == 0
    pair = {"in0": [6, 17, 3], "in1": [16, 21]}
    with server.serving(tmp_path, INFERENCE_PREFERRED_MODE="embedding") as served:

        def ask(body: Any, kind: str = "application/json", accept: str = "application/json") -> Any:
            return served.invoke(body, headers={"Content-Type": kind, "Accept": accept})

        scored = ask(json.dumps({"instances": [pair, pair]})).json()["predictions"]
        assert [list(one) for one in scored] == [["scores"]] * 2
        assert sum(scored[0]["scores"]) == pytest.approx(1, abs=1e-5)
        lines = ask(json.dumps({"in1": [3]}) + "\n" + json.dumps({"in1": [4]}), LINES, LINES).text
        assert [len(json.loads(line)["embeddings"]) for line in lines.splitlines()] == [6, 6]
        long = json.dumps({"instances": [{"in0": list(range(1, 20))}]})
        cut = ask(long, "application/json;infer_max_seqlens=2,2").json()
        assert cut == ask(json.dumps({"instances": [{"in0": [1, 2]}]})).json()
        for body, message in (
            (json.dumps(pair), 'an object with a list \\"instances\\"'),
            (json.dumps({"instances": [pair, {"in0": [1]}]}), "instance 2 of the request has in0"),
        ):
            refused = ask(body)
            assert (refused.status_code, message in refused.text) == (400, True), refused.text
