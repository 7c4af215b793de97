"""Short ways to train factorization machines in tests, and the planted data of the specification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array, random_array

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.factorization_machines import ALGORITHM
from optml.algorithms.factorization_machines.learner import Learner
from optml.algorithms.factorization_machines.model import Model
from optml.algorithms.metrics import Metric
from optml.container.group import Alone
from optml.formats.records import Features, Records


def learner(
    width: int,
    *,
    seed: int = 0,
    cluster: Cluster | None = None,
    channels: tuple[str, ...] = ("train",),
    **hyperparameters: Any,
) -> Learner:
    settings = {"num_factors": 4, "predictor_type": "regressor"} | hyperparameters
    return Learner(
        Setting(
            ALGORITHM.hyperparameters(feature_dim=width, **settings),
            cluster or Alone(),
            "cpu",
            seed,
            channels=channels,
        )
    )


def batches(features: Features, labels: np.ndarray, size: int) -> Iterator[Records]:
    for start in range(0, features.shape[0], size):
        yield Records(features[start : start + size], labels[start : start + size, None])


def absorb(state: Learner, features: Features, labels: np.ndarray) -> dict[str, float]:
    """Train for all epochs; the metrics of the last one."""
    metrics: list[Metric] = []
    for _ in range(state.hyperparameters.epochs):
        for batch in batches(features, labels, state.hyperparameters.mini_batch_size):
            state.update(batch)
        metrics = list(state.end_round())
    return values(metrics)


def fit(features: Features, labels: np.ndarray, **hyperparameters: Any) -> Model:
    state = learner(features.shape[1], **hyperparameters)
    absorb(state, features, labels)
    return state.finish()[0]


def values(metrics: list[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def pairs_of_ids(left: np.ndarray, right: np.ndarray, lefts: int, rights: int) -> csr_array:
    """One row for each (left, right): ones at two features of lefts + rights."""
    n = len(left)
    indices = np.stack([left, lefts + right], axis=1).reshape(-1)
    return csr_array(
        (np.ones(2 * n, np.float32), indices.astype(np.int32), np.arange(0, 2 * n + 1, 2, dtype=np.int32)),
        shape=(n, lefts + rights),
    )


def plant(n: int, users: int = 1000, items: int = 1500) -> tuple[csr_array, np.ndarray]:
    """Ratings 3.5 + biases + <u, i> of rank 4 + noise: deviations 0.4, 0.5, 0.98 and 0.8."""
    random = np.random.RandomState(0)
    bias_user, bias_item = 0.4 * random.randn(users), 0.5 * random.randn(items)
    factors_user, factors_item = 0.7 * random.randn(users, 4), 0.7 * random.randn(items, 4)
    user, item = random.randint(users, size=n), random.randint(items, size=n)
    labels = 3.5 + bias_user[user] + bias_item[item] + (factors_user[user] * factors_item[item]).sum(axis=1)
    return pairs_of_ids(user, item, users, items), labels + 0.8 * random.randn(n)


def sparse(n: int = 60, d: int = 30, share: float = 0.2, seed: int = 0) -> tuple[csr_array, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = csr_array(random_array((n, d), density=share, format="csr", rng=rng, dtype=np.float32))
    return features, rng.normal(size=n)


def rows_of(state: Learner) -> np.ndarray:
    model = state.model()
    assert model is not None
    return np.column_stack([model.factors, model.weights])
