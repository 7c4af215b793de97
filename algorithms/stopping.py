"""Early stopping by patience, as most of the algorithms do it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np


class Patience:
    """Stops after `patience` values in a row that did not improve on the best (`algorithms.base.Stopping`).

    tolerance: the smallest relative improvement, (best - value) / |best|, that counts; where the best is 0,
               any does. 0: any improvement counts, however small.
    maximize:  larger values are better.

    The first value is the best so far; a value that is not a number is no improvement.
    """

    def __init__(self, patience: int, tolerance: float = 0.0, *, maximize: bool = False) -> None:
        self.patience = patience
        self.tolerance = tolerance
        self.sign = -1.0 if maximize else 1.0
        self.best = math.inf  # of sign * value
        self.stale = 0  # values since the best

    def update(self, value: float) -> Literal["best", "stale", "stop"]:
        value = self.sign * value
        if self._improves(value):
            self.best = value
            self.stale = 0
            return "best"
        self.stale += 1
        return "stop" if self.stale >= self.patience else "stale"

    def _improves(self, value: float) -> bool:
        if not value < self.best:
            return False
        if self.best == 0 or math.isinf(self.best):
            return True
        return (self.best - value) / abs(self.best) >= self.tolerance

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"best": np.array(self.best), "stale": np.array(self.stale)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.best = float(state["best"])
        self.stale = int(state["stale"])
