"""Short ways to read pairs and to learn from them in tests."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.ip_insights import ALGORITHM
from optml.algorithms.ip_insights.data import TrainChannel, ValidationChannel
from optml.algorithms.ip_insights.learner import Learner
from optml.algorithms.metrics import Metric
from optml.container.group import Alone


class Files:
    """A channel of files in memory."""

    media = "text/csv"
    mode = "File"
    wrapper = "None"

    def __init__(self, name: str, *texts: bytes, distribution: str = "FullyReplicated") -> None:
        self.name = name
        self.distribution = distribution
        self.stop = False
        self.passes = 0
        self._texts = texts

    def stopped(self) -> bool:
        return self.stop

    def streams(self) -> Iterator[tuple[str, BinaryIO]]:
        self.passes += 1
        for number, text in enumerate(self._texts):
            yield f"{self.name}/{number}.csv", io.BytesIO(text)

    def examples(self, size: int) -> Iterator[tuple[bytes, ...]]:
        raise NotImplementedError


def setting(cluster: Cluster | None = None, *, seed: int = 0, device: str = "cpu", **given: Any) -> Setting:
    """Of a small job that goes by bits alone, unless told otherwise, with a few pairs in its channel."""
    small = {"num_entity_vectors": 50, "vector_dim": 8, "_ip_prefix_tables": False, "learning_rate": 0.01}
    made = Setting(ALGORITHM.hyperparameters(**(small | given)), cluster or Alone(), device, seed)
    return replace(made, train=training(at_home(20), made))


def training(text: bytes, given: Setting, **options: Any) -> TrainChannel:
    return TrainChannel(Files("train", text, **options), given)


def validation(text: bytes, given: Setting) -> ValidationChannel:
    return ValidationChannel(Files("validation", text), given)


def at_home(n: int, users: int = 20, seed: int = 0) -> bytes:
    """n pairs: each user has a network of 256 addresses, of those that begin with 10, 20, ..."""
    rng = np.random.default_rng(seed)
    user, last = rng.integers(0, users, n), rng.integers(0, 256, n)
    return "".join(
        f"user_{u},{10 + 10 * (u % 20)}.{u % 256}.7.{i}\n"
        for u, i in zip(user.tolist(), last.tolist(), strict=True)
    ).encode()


def absorb(state: Learner, data: TrainChannel) -> dict[str, float]:
    """Train for all epochs; the metrics of the last one."""
    found: list[Metric] = []
    for epoch in range(state.hyperparameters.epochs):
        for batch in data.epoch(epoch):
            state.update(batch)
        found = list(state.end_round())
    return values(found)


def values(metrics: list[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}
