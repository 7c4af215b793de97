"""Linear Learner through `train`: killed and resumed, stopped, on two hosts, through FIFOs, on bad data."""

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
from tests.contract.tree import HOSTS, Tree, end, read_until, train_together

LINEAR = ("-m", "optml.container", "train")
RNG = np.random.default_rng(0)
ROWS = (RNG.normal(size=(3000, 5)) + np.array([0, 3, 0, -5, 1])).round(4)
LABELS = (ROWS @ [1, -2, 0.5, 0, 0.3] + RNG.normal(size=3000) * 0.3 > -5.7).astype(int)
TARGET = (ROWS @ [1, -2, 0.5, 0, 0.3] + RNG.normal(size=3000) * 0.3).round(4)
CSV = {"ContentType": "text/csv"}
SETTINGS = {"predictor_type": "binary_classifier", "mini_batch_size": 100, "epochs": 3}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTML_ALGORITHM", "linear-learner")


def csv(rows: np.ndarray = ROWS, labels: np.ndarray = LABELS) -> str:
    pairs = zip(labels.tolist(), rows.tolist(), strict=True)
    return "".join(",".join(map(repr, [label, *row])) + "\n" for label, row in pairs)


def job(root: Path, channels: dict[str, str], **hyperparameters: object) -> Tree:
    tree = Tree(root)
    for name, text in channels.items():
        tree.write(f"input/data/{name}/rows.csv", text)
    tree.write("input/config/inputdataconfig.json", dict.fromkeys(channels, CSV))
    tree.hyperparameters(**(SETTINGS | hyperparameters))
    return tree


def weights(tree: Tree) -> np.ndarray:
    arrays = load_file(tree.model / "model.safetensors")
    return np.append(arrays["weight"], arrays["bias"])


def test_killed_and_restarted_is_undisturbed(tmp_path: Path) -> None:
    channels = {"train": csv(), "validation": csv()}
    tree = job(tmp_path / "killed", channels, num_point_for_scaler=250)
    tree.kill_at("linear-learner-0.1-*.ckpt")
    resumed = tree.train(*LINEAR)
    assert resumed.code == 0, resumed.log
    assert re.search(r"Checkpoint loaded from \S+ at epoch 1", resumed.log)

    undisturbed = job(tmp_path / "undisturbed", channels, num_point_for_scaler=250)
    log = undisturbed.train(*LINEAR).log
    np.testing.assert_array_equal(weights(tree), weights(undisturbed))
    for metric in (r"epoch=2, train \S+ <loss>=(\S+)", r"#validation_score .* (\S+)\)"):
        assert re.findall(metric, log)
        assert re.findall(metric, resumed.log) == re.findall(metric, log)


def test_published_regexes_read_the_metrics_of_a_binary_job(tmp_path: Path) -> None:
    tree = job(tmp_path, {"train": csv(), "validation": csv(), "test": csv()}, epochs=6)
    ended = tree.train(*LINEAR)
    assert ended.code == 0, ended.log
    names = ("objective_loss", "binary_classification_accuracy", "binary_f_beta", "precision", "recall")
    found = {
        definition["Name"]: re.findall(definition["Regex"], ended.log)
        for definition in metric_definitions(registry.get("linear-learner"))
    }
    for name in (*names, "roc_auc_score"):
        for channel in ("validation", "test"):
            key = f"{channel}:{name}"
            values = found.get(key) or found[f"{key}:final"]
            assert values, key
            assert np.isfinite([float(value) for value in values]).all()
    assert re.search(r"epoch=0, criteria=sampled_accuracy, value=0\.\d+", ended.log)
    assert '"model": 31' in ended.log
    best = next(line for line in ended.messages if line.startswith("Best model found for hyperparameters: "))
    assert list(json.loads(best.partition(": ")[2])) == [
        "optimizer", "learning_rate", "l1", "wd", "lr_scheduler_step", "lr_scheduler_factor",
        "lr_scheduler_minimum_lr",
    ]  # fmt: skip
    accuracy = float(found["test:binary_classification_accuracy"][-1])
    assert accuracy > 0.9


def test_a_tuning_job_trains_one_model(tmp_path: Path) -> None:
    tree = job(tmp_path, {"train": csv()}, _tuning_objective_metric="train:objective_loss", num_models=8)
    ended = tree.train(*LINEAR)
    assert ended.code == 0, ended.log
    assert '"model": 0' in ended.log
    assert '"model": 1' not in ended.log
    assert "#train_score (algo-1) : ('binary_classification_accuracy', 0.9" in ended.log


def test_a_pipe_gives_the_model_of_a_file(tmp_path: Path) -> None:
    given = {"predictor_type": "regressor", "epochs": 2, "num_models": 2}
    text = csv(labels=TARGET)
    file = job(tmp_path / "file", {"train": text}, **given)
    assert file.train(*LINEAR).code == 0
    pipe = job(tmp_path / "pipe", {"train": text}, **given)
    (pipe.root / "input/data/train/rows.csv").unlink()
    (pipe.root / "input/data/train").rmdir()
    pipe.write("input/config/inputdataconfig.json", {"train": CSV | {"TrainingInputMode": "Pipe"}})
    fifos = [pipe.root / f"input/data/train_{epoch}" for epoch in range(2)]
    for fifo in fifos:
        os.mkfifo(fifo)
    feeder = threading.Thread(target=lambda: [fifo.write_text(text) for fifo in fifos])
    feeder.start()
    ended = pipe.train(*LINEAR)
    feeder.join()
    assert ended.code == 0, ended.log
    np.testing.assert_array_equal(weights(pipe), weights(file))


def test_two_hosts_give_the_model_of_one_at_twice_the_batch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    given = {"predictor_type": "regressor", "num_models": 2}
    channels = {"train": csv(labels=TARGET), "validation": csv(labels=TARGET)}
    hosts = [job(tmp_path / name, channels, **given) for name in HOSTS]
    for ended in train_together(hosts, *LINEAR):
        assert ended.code == 0, ended.log
    assert not any(hosts[1].model.glob("*"))
    alone = job(tmp_path / "alone", channels, mini_batch_size=200, **given)
    assert alone.train(*LINEAR).code == 0
    np.testing.assert_allclose(weights(hosts[0]), weights(alone), rtol=1e-3, atol=1e-3)


def test_a_stopped_job_leaves_a_model(tmp_path: Path) -> None:
    tree = job(tmp_path, {"train": csv(), "validation": csv()}, epochs=100000, early_stopping_patience=100000)
    process = tree.start(*LINEAR)
    read_until(process, "completed")
    process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert ended.code == 0, ended.log
    assert "Stopping on SIGTERM" in ended.log
    assert np.isfinite(weights(tree)).all()


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("1,2,3\n-1,4,5\n", {}, "row 2 of train/rows.csv has the label -1, expected 0 or 1"),
        ("4,2,3\n0,4,5\n1,2,2\n", {"predictor_type": "multiclass_classifier"}, "num_classes=5"),
        ("1,2,3\n0,4,5\n", {"loss": "squared_loss"}, "takes logistic, hinge_loss or auto"),
        ("1,2,3\n0,4,5\n", {"feature_dim": 3}, "feature_dim"),
    ],
)
def test_bad_jobs_are_the_users_to_mend(tmp_path: Path, text: str, given: dict[str, str], said: str) -> None:
    tree = job(tmp_path, {"train": text}, **given)
    ended = tree.train(*LINEAR)
    assert ended.code == 2, ended.log
    assert tree.failure.startswith("ClientError: ")
    assert said in tree.failure
    assert "Traceback" not in ended.log
