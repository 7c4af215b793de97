"""The learning rate: by epochs that are listed, or by the updates that have been made."""

from __future__ import annotations

import math
from collections.abc import Iterable

POWER = 0.9  # of `poly` (GluonCV)


def stepped(first: float, factor: float, steps: Iterable[int], epoch: int) -> float:
    """In an epoch, from 0: multiplied by `factor` at the start of each that `steps` lists."""
    return float(first * factor ** sum(step <= epoch for step in set(steps)))


def poly(first: float, done: int, total: int) -> float:
    """After `done` of `total` updates: (1 - done / total)^0.9 of the first; 0 from the last on."""
    return float(first * max(1 - done / total, 0.0) ** POWER)


def cosine(first: float, done: int, total: int) -> float:
    """After `done` of `total` updates: half of a cosine; 0 from the last on."""
    return float(first * (1 + math.cos(math.pi * min(done / total, 1.0))) / 2)
