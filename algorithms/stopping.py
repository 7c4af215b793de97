"""Early stopping by patience, as most of the algorithms do it, and by a window of losses."""

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


class Window:
    """With P = patience: from the (P + 1)-th loss on one is bad that is not below the lowest of the P before
    it by more than `tolerance`; a good one sets the count of bad ones to 0, and training stops when it
    exceeds P. Kept is the best of all.
    """

    def __init__(self, patience: int, tolerance: float) -> None:
        self.patience = patience
        self.tolerance = tolerance
        self.losses: list[float] = []  # the last P
        self.bad = 0
        self.epoch = 0
        self.best = math.inf
        self.best_epoch = 0  # counted from 1

    def update(self, value: float) -> Literal["best", "stale", "stop", "last"]:
        """Take a loss; "last": it is the best, and the end."""
        self.epoch += 1
        if len(self.losses) == self.patience:
            before = list(self.losses)
            lowest = min(before)
            self.bad = 0 if lowest - value > self.tolerance else self.bad + 1
            self.judged(before, lowest, value)
        self.losses = [*self.losses, value][-self.patience :]
        best = value < self.best
        if best:
            self.best, self.best_epoch = value, self.epoch
        if self.bad > self.patience:
            self.stopped()
            return "last" if best else "stop"
        return "best" if best else "stale"

    def judged(self, losses: list[float], lowest: float, value: float) -> None:
        """A loss was held against those before it, and the count of bad ones is that with it: an algorithm
        says so in AWS's words."""

    def stopped(self) -> None:
        """Training stops: an algorithm says so in AWS's words."""

    def state_dict(self) -> dict[str, np.ndarray]:
        numbers = np.array([self.bad, self.epoch, self.best_epoch], np.int64)
        return {"losses": np.array(self.losses), "numbers": numbers, "best": np.array(self.best)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.losses = state["losses"].tolist()
        self.bad, self.epoch, self.best_epoch = state["numbers"].tolist()
        self.best = float(state["best"])
