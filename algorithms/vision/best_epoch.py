"""The epoch of the best score on the validation images: its weights are kept, and training may stop early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True)
class Early:
    """When training stops early: after `min_epochs`, once `patience` epochs in a row had
    (score - best) / best <= tolerance."""

    min_epochs: int
    patience: int
    tolerance: float = 0.0


class BestEpoch:
    """Best is a score above all before it (`algorithms.base.Stopping`).

    early: None: training never stops early.   announce: called with each score that is the best so far.
    """

    def __init__(self, early: Early | None, announce: Callable[[float], None] | None = None) -> None:
        self.early = early
        self.epoch = 0
        self.best = -1.0
        self.best_epoch = 0  # from 1; 0: none yet
        self.stale = 0
        self._announce = announce

    def update(self, value: float) -> Literal["best", "stale", "stop", "last"]:
        """Take an epoch's score, 0 or more; "last": it is the best, and the end."""
        self.epoch += 1
        tolerance = self.early.tolerance if self.early else 0.0
        gained = self.best < 0 or value > self.best * (1 + tolerance)
        self.stale = 0 if gained else self.stale + 1
        best = value > self.best
        if best:
            self.best, self.best_epoch = value, self.epoch
            if self._announce is not None:
                self._announce(value)
        early = self.early
        if early and self.epoch >= early.min_epochs and self.stale >= early.patience:
            return "last" if best else "stop"
        return "best" if best else "stale"

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"numbers": np.array([self.epoch, self.best_epoch, self.stale]), "best": np.array(self.best)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.best_epoch, self.stale = state["numbers"].tolist()
        self.best = float(state["best"])
