"""Short ways to train on small pictures in tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.image_classification import ALGORITHM
from optml.algorithms.image_classification.data import Batch
from optml.algorithms.image_classification.learner import Learner
from optml.algorithms.metrics import Metric
from optml.container.group import Alone

SIDE, CLASSES = 8, 4


def pictures(count: int, channels: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 8, 8, channels) float32 and classes (n,): a bright bar along one of four directions, in
    noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, count)
    pixels = random.normal(100, 20, (count, SIDE, SIDE, channels))
    for picture, label in zip(pixels, labels.tolist(), strict=True):
        at, line = int(random.integers(2, 6)), np.arange(SIDE)
        rows, columns = [(at, line), (line, at), (line, line), (line, SIDE - 1 - line)][label]
        picture[rows, columns] += 120
    return pixels.clip(0, 255).astype(np.float32), labels


@dataclass
class Channel:
    """What a learner sees of its training channel, and what tests feed it with."""

    pixels: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...] = ()
    sharded: bool = False
    threads: int = 1

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[Batch]:
        for start in range(0, len(self) - size + 1, size):
            yield Batch(self.pixels[start : start + size], self.labels[start : start + size])


def channel(count: int = 64, channels: int = 1, seed: int = 0) -> Channel:
    return Channel(*pictures(count, channels, seed))


def learner(
    train: Channel,
    *,
    cluster: Cluster | None = None,
    seed: int = 0,
    channels: int = 1,
    warm_start: Path | None = None,
    pretrained: dict[str, Path] | None = None,
    store: Path | None = None,
    **given: Any,
) -> Learner:
    settings = {
        "num_classes": CLASSES,
        "num_training_samples": len(train),
        "image_shape": f"{channels},{SIDE},{SIDE}",
        "num_layers": 20,
        "mini_batch_size": 16,
        "learning_rate": 0.05,
    }
    hyperparameters = ALGORITHM.hyperparameters(**settings | given)
    setting = Setting(hyperparameters, cluster or Alone(), "cpu", seed, warm_start, train=train)
    return Learner(replace(setting, pretrained=pretrained or {}, store=store))


def absorb(state: Learner, train: Channel, epochs: int = 1) -> list[Metric]:
    """Train; the metrics of the last epoch."""
    metrics: list[Metric] = []
    for _ in range(epochs):
        for batch in train.batches(state.hyperparameters.mini_batch_size):
            state.update(batch)
        metrics = list(state.end_round())
    return metrics
