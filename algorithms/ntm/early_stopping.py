"""Early stopping as AWS's image does it: against the lowest of the last losses, and told of in its words."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np

log = logging.getLogger(__name__)


class EarlyStopping:
    """With P = patience: from epoch P + 1 on an epoch is bad whose loss is not below the lowest of the P
    before it by more than `tolerance`; stop when more than P in a row are. Kept is the best of all.

    quiet: on all hosts but the first.
    """

    def __init__(self, patience: int, tolerance: float, *, quiet: bool = False) -> None:
        self.patience = patience
        self.tolerance = tolerance
        self.quiet = quiet
        self.losses: list[float] = []  # the last P
        self.bad = 0
        self.epoch = 0
        self.best = math.inf
        self.best_epoch = 0

    def update(self, value: float) -> Literal["best", "stale", "stop", "last"]:
        """Take an epoch's loss; "last": it is the best, and the end."""
        self.epoch += 1
        if len(self.losses) == self.patience:
            self._judge(value)
        self.losses = [*self.losses, value][-self.patience :]
        best = value < self.best
        if best:
            self.best, self.best_epoch = value, self.epoch
        if self.bad > self.patience:
            self._say("Bad epochs exceeded patience. Stopping training early!")
            self._say("Early stop condition met. Stopping training.")
            return "last" if best else "stop"
        return "best" if best else "stale"

    def _judge(self, value: float) -> None:
        lowest = min(self.losses)
        self._say(
            "patience losses:%s min patience loss:%s current loss:%s absolute loss difference:%s",
            self.losses, lowest, value, abs(lowest - value),
        )  # fmt: skip
        if lowest - value > self.tolerance:
            self.bad = 0
            return
        self.bad += 1
        self._say("Bad epoch: loss has not improved (enough). Bad count:%d", self.bad)

    def _say(self, text: str, *values: object) -> None:
        if not self.quiet:
            log.info(text, *values)

    def state_dict(self) -> dict[str, np.ndarray]:
        numbers = np.array([self.bad, self.epoch, self.best_epoch], np.int64)
        return {"losses": np.array(self.losses), "numbers": numbers, "best": np.array(self.best)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.losses = state["losses"].tolist()
        self.bad, self.epoch, self.best_epoch = state["numbers"].tolist()
        self.best = float(state["best"])
