"""Short ways to train on small pictures in tests: a bright rectangle or disc each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric
from optml.algorithms.object_detection import ALGORITHM
from optml.algorithms.object_detection import start as beginning
from optml.algorithms.object_detection.data import Batch, padded
from optml.algorithms.object_detection.design import Base, Design
from optml.algorithms.object_detection.hyperparameters import Hyperparameters
from optml.algorithms.object_detection.learner import Learner
from optml.algorithms.vision.architecture import Architecture
from optml.container.group import Alone

SIDE, CLASSES = 64, 2  # of tests, which can't wait for pictures of the sides that users may choose


def shapes(count: int, side: int = SIDE, seed: int = 0, most: int = 1) -> tuple[np.ndarray, list[np.ndarray]]:
    """Pixels (n, side, side, 3) float32 and boxes (k, 6) of each: rectangles (class 0) and discs (class 1),
    up to `most` in a picture, that hardly cover one another."""
    random = np.random.default_rng(seed)
    pixels = random.normal(random.integers(70, 130, (count, 1, 1, 1)), 8, (count, side, side, 3))
    places = (np.arange(side) + 0.5) / side
    truths = []
    for picture in pixels:
        rows: list[list[float]] = []
        for _ in range(int(random.integers(1, most + 1))):
            number = int(random.integers(CLASSES))
            box = _free(random, rows, round_one=number == 1)
            if box is None:
                break
            left, top, right, bottom = box
            x, y = (
                (places[None] - (left + right) / 2) * 2 / (right - left),
                places[:, None] - (top + bottom) / 2,
            )
            y = y * 2 / (bottom - top)
            inside = x * x + y * y <= 1 if number else np.maximum(np.abs(x), np.abs(y)) <= 1
            colour = random.integers(150, 255, 3)
            picture[inside] = colour + random.normal(0, 5, (int(inside.sum()), 3))
            rows.append([number, *box, 0])
        truths.append(np.array(rows, np.float32))
    return pixels.clip(0, 255).astype(np.float32), truths


def _free(
    random: np.random.Generator, rows: list[list[float]], *, round_one: bool
) -> tuple[float, float, float, float] | None:
    for _ in range(30):
        width, height = random.uniform(0.2, 0.5, 2)
        height = width if round_one else height
        left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
        right, bottom = left + width, top + height
        if all(left >= r[3] or right <= r[1] or top >= r[4] or bottom <= r[2] for r in rows):
            return left, top, right, bottom
    return None


@dataclass
class Channel:
    """What a learner sees of its training channel, and what tests feed it with."""

    pixels: np.ndarray
    truths: list[np.ndarray]
    names: tuple[str, ...] = ()
    sharded: bool = False

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, size: int) -> Iterator[Batch]:
        for start in range(0, len(self), size):
            yield Batch(self.pixels[start : start + size], padded(self.truths[start : start + size]))


def channel(count: int, seed: int = 0) -> Channel:
    return Channel(*shapes(count, seed=seed))


@contextlib.contextmanager
def small() -> Iterator[None]:
    """Inside, detectors that are made anew have a base of 20 layers, of which an update takes
    milliseconds."""
    made = beginning.design

    def smaller(base: Base, side: int, classes: int, network: Architecture | None = None) -> Design:
        return made(base, side, classes, network or Architecture(20))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beginning, "design", smaller)
        yield


def hyperparameters(side: int = SIDE, **given: Any) -> Hyperparameters:
    settings: dict[str, Any] = {
        "num_classes": CLASSES,
        "num_training_samples": 8,
        "base_network": "resnet-50",
    }
    checked: Hyperparameters = ALGORITHM.hyperparameters(**settings | {"mini_batch_size": 4} | given)
    return checked.model_copy(update={"image_shape": side})


def learner(
    train: Channel,
    *,
    cluster: Cluster | None = None,
    seed: int = 0,
    warm_start: Path | None = None,
    pretrained: dict[str, Path] | None = None,
    **given: Any,
) -> Learner:
    own = hyperparameters(**{"num_training_samples": len(train)} | given)
    setting = Setting(own, cluster or Alone(), "cpu", seed, warm_start, train=train)
    return Learner(replace(setting, pretrained=pretrained or {}))


def absorb(state: Learner, train: Channel, epochs: int = 1) -> list[Metric]:
    """Train; the metrics of the last epoch."""
    metrics: list[Metric] = []
    for _ in range(epochs):
        for batch in train.batches(state.hyperparameters.mini_batch_size):
            state.update(batch)
        metrics = list(state.end_round())
    return metrics
