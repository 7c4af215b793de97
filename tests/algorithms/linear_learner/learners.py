"""Learners and batches of one small table, for the tests of the learner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.learner import Learner
from optml.algorithms.linear_learner.model import Model
from optml.algorithms.metrics import Metric
from optml.container.group import Alone
from optml.formats.records import Origin, Records

RNG = np.random.default_rng(0)
ROWS = (RNG.normal(size=(600, 6)) * [1, 2, 3, 4, 5, 6] + [0, 5, 0, -9, 0, 60]).astype(np.float32)
TARGET = ROWS @ [1.0, -2, 0.5, 0, 0.3, 1] + 4 + RNG.normal(size=600) * 0.1
CLASS = (np.median(TARGET) < TARGET).astype(float)


def learner(
    *,
    cluster: Cluster | None = None,
    channels: tuple[str, ...] = ("train",),
    warm_start: Path | None = None,
    seed: int = 0,
    stopped: Callable[[], bool] = lambda: False,
    **hyperparameters: Any,
) -> Learner:
    hyperparameters = {"predictor_type": "regressor", "mini_batch_size": 50} | hyperparameters
    setting = Setting(
        Hyperparameters.model_validate(hyperparameters),
        cluster or Alone(),
        "cpu",
        seed,
        warm_start,
        channels,
        stopped=stopped,
    )
    return Learner(setting)


def batches(rows: Any = ROWS, labels: np.ndarray = TARGET, size: int = 50) -> list[Records]:
    whole = Records(rows, np.asarray(labels, float)[:, None], origins=((0, Origin("train/a.csv", 1, "row")),))
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def epochs(state: Learner, parts: Sequence[Records | None], count: int = 1) -> list[Metric]:
    metrics = []
    for _ in range(count):
        for part in parts:
            state.update(part)
        metrics += list(state.end_round())
    return metrics


def weights(state: Learner) -> tuple[np.ndarray, np.ndarray]:
    model = state.finish()[0]
    assert isinstance(model, Model)
    return model.weight, model.bias
