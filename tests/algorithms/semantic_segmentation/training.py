"""Short ways to train small networks on small pictures in tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric
from optml.algorithms.semantic_segmentation import ALGORITHM
from optml.algorithms.semantic_segmentation.data import Batch
from optml.algorithms.semantic_segmentation.learner import Learner
from optml.algorithms.vision.masks import LabelMap
from optml.container.group import Alone
from tests.algorithms.semantic_segmentation.shapes import CLASSES, PALETTE, shapes

SIDE = 32


@dataclass
class Channel:
    """What a learner sees of its training channel, and what tests feed it with."""

    pixels: np.ndarray
    masks: np.ndarray
    label_map: LabelMap = field(default_factory=lambda: LabelMap.of(None, ""))
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.masks)

    def palette(self) -> bytes:
        return PALETTE

    def batches(self, size: int) -> Iterator[Batch]:
        for start in range(0, len(self) - size + 1, size):
            yield Batch(self.pixels[start : start + size], self.masks[start : start + size])


def channel(count: int, first: int = 0) -> Channel:
    pairs = [shapes(number, (SIDE, SIDE)) for number in range(first, first + count)]
    return Channel(
        np.stack([pixels for pixels, _ in pairs]).astype(np.float32), np.stack([mask for _, mask in pairs])
    )


def bars(count: int, seed: int = 0) -> Channel:
    """A bright band of 16 columns on noise: what is learnt within seconds."""
    rng = np.random.default_rng(seed)
    pixels, masks = rng.normal(90, 25, (count, SIDE, SIDE, 3)), np.zeros((count, SIDE, SIDE), np.uint8)
    for picture, mask, left in zip(pixels, masks, rng.integers(0, 17, count).tolist(), strict=True):
        picture[:, left : left + 16] += 80
        mask[:, left : left + 16] = 1
    return Channel(pixels.clip(0, 255).astype(np.float32), masks)


def learner(
    train: Channel,
    *,
    cluster: Cluster | None = None,
    seed: int = 0,
    warm_start: Path | None = None,
    pretrained: dict[str, Path] | None = None,
    store: Path | None = None,
    **given: Any,
) -> Learner:
    settings = {
        "num_classes": CLASSES,
        "num_training_samples": len(train),
        "crop_size": SIDE,
        "base_size": SIDE,
        "mini_batch_size": 8,
        "learning_rate": 0.01,
        "use_pretrained_model": False,
    }
    values = {name: value for name, value in (settings | given).items() if value is not None}
    hyperparameters = ALGORITHM.hyperparameters(**values)
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
