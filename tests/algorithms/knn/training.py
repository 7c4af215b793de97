"""Training without a container: batches, learners, whole jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.knn import ALGORITHM
from optml.algorithms.knn.learner import Learner
from optml.algorithms.knn.model import Model
from optml.algorithms.metrics import Metric
from optml.container.group import Alone
from optml.formats.records import Records


def blobs(rows: int, width: int = 6, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n, width) float32 around one centre a class, and their classes (n,)."""
    rng = np.random.default_rng(seed)
    centres = 4 * np.random.default_rng(1).normal(size=(classes, width))
    labels = rng.integers(classes, size=rows)
    return (centres[labels] + rng.normal(size=(rows, width))).astype(np.float32), labels.astype(np.float64)


def batches(rows: np.ndarray, labels: np.ndarray, size: int) -> Iterator[Records]:
    for start in range(0, len(rows), size):
        yield Records(rows[start : start + size], labels[start : start + size, None])


def learner(*, cluster: Cluster | None = None, seed: int = 0, **hyperparameters: Any) -> Learner:
    settings = {
        "k": 3,
        "predictor_type": "classifier",
        "sample_size": 10**6,
        "mini_batch_size": 100,
    } | hyperparameters
    return Learner(Setting(ALGORITHM.hyperparameters(**settings), cluster or Alone(), seed=seed))


def fit(rows: np.ndarray, labels: np.ndarray, **hyperparameters: Any) -> Model:
    return run(rows, labels, rows[:0], labels[:0], **hyperparameters)[0]


def run(
    rows: np.ndarray,
    labels: np.ndarray,
    test_rows: np.ndarray,
    test_labels: np.ndarray,
    **hyperparameters: Any,
) -> tuple[Model, dict[str, float]]:
    """A job with the channels train and test."""
    state = learner(**hyperparameters)
    size = state.hyperparameters.mini_batch_size
    for batch in batches(rows, labels, size):
        state.update(batch)
    model, metrics = state.finish()
    metrics = [*metrics]
    if len(test_rows):
        metrics += state.evaluate("test", batches(test_rows, test_labels, size))
    return model, values(metrics)


def values(metrics: list[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}
