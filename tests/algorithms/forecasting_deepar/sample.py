"""Settings, channels and small series for the tests of DeepAR."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar.builder import Builder
from optml.algorithms.forecasting_deepar.frequency import Frequency
from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
from optml.algorithms.forecasting_deepar.series import Series
from optml.container.group import Alone

START = "2016-01-01 00:00:00"
SMALL = {
    "time_freq": "H",
    "context_length": 12,
    "prediction_length": 4,
    "epochs": 2,
    "mini_batch_size": 8,
    "num_cells": 8,
    "num_layers": 2,
}


@dataclass
class Channel:
    """A channel (`algorithms.sources.Source`) of files in memory."""

    files: dict[str, bytes]
    name: str = "train"
    media: str | None = None
    mode: str = "File"
    distribution: str = "FullyReplicated"
    wrapper: str = "None"

    def stopped(self) -> bool:
        return False

    def streams(self) -> Iterator[tuple[str, BinaryIO]]:
        return ((f"{self.name}/{name}", io.BytesIO(text)) for name, text in self.files.items())

    def examples(self, size: int) -> Iterator[tuple[bytes, ...]]:
        return iter(())


def channel(*records: Any, name: str = "train", **described: Any) -> Channel:
    return Channel({"a.json": lines(records)}, name, **described)


def lines(records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parameters(**given: Any) -> Hyperparameters:
    return Hyperparameters(**(SMALL | given))


def setting(cluster: Cluster | None = None, seed: int = 3, **given: Any) -> Setting:
    return Setting(parameters(**given), cluster or Alone(), seed=seed)


def waves(count: int = 12, length: int = 120, seed: int = 0) -> list[dict[str, Any]]:
    """Records: daily waves at levels of their own."""
    generator = np.random.default_rng(seed)
    hours = np.arange(length)
    found = []
    for number in range(count):
        level = 1 + 9 * generator.random()
        values = level * (1 + 0.4 * np.sin(2 * np.pi * (hours + 6 * (number % 2)) / 24))
        values += 0.05 * level * generator.standard_normal(length)
        found.append({"start": START, "target": np.round(values, 4).tolist()})
    return found


def series(records: Any, frequency: str = "H", **options: Any) -> Series:
    builder = Builder(Frequency.parse(frequency), **options)
    for number, record in enumerate(records):
        builder.add(record, lambda number=number: f"record {number}")
    return builder.series()
