"""Short ways to train topic models in tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scipy.sparse import csr_array

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric
from optml.algorithms.ntm import ALGORITHM
from optml.algorithms.ntm.learner import Learner
from optml.algorithms.sources import Source
from optml.container.group import Alone
from optml.formats.records import Records


def learner(
    words: int,
    *,
    seed: int = 0,
    cluster: Cluster | None = None,
    channels: tuple[str, ...] = ("train",),
    auxiliary: Source | None = None,
    **given: Any,
) -> Learner:
    settings = {"num_topics": 4, "mini_batch_size": 32} | given
    hyperparameters = ALGORITHM.hyperparameters(feature_dim=words, **settings)
    given_channels = {"auxiliary": auxiliary} if auxiliary else {}
    setting = Setting(
        hyperparameters, cluster or Alone(), "cpu", seed, channels=channels, auxiliary=given_channels
    )
    return Learner(setting)


def batches(counts: csr_array, size: int) -> Iterator[Records]:
    for start in range(0, counts.shape[0], size):
        yield Records(counts[start : start + size])


def absorb(state: Learner, counts: csr_array, epochs: int = 1) -> list[Metric]:
    """Train; the metrics of the last epoch."""
    found: list[Metric] = []
    for _ in range(epochs):
        for batch in batches(counts, state.hyperparameters.mini_batch_size):
            state.update(batch)
        found = list(state.end_round())
    return found
