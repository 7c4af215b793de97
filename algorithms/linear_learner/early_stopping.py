"""Early stopping as AWS's image does it and tells of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from optml.algorithms.stopping import Patience

log = logging.getLogger(__name__)


class EarlyStopping(Patience):
    """Patience over the lowest loss of the models, with a line in the log for each epoch.

    The value that it is handed is the criterion, which log lines give. Accuracy and its like are too coarse
    to go by: of few rows, or few positive ones, they stand still while the models still learn.
    """

    def __init__(self, patience: int, tolerance: float, loss: Callable[[], float]) -> None:
        super().__init__(patience, tolerance)
        self.epoch = 0
        self._loss = loss

    def update(self, value: float) -> Literal["best", "stale", "stop"]:
        before = self.stale
        verdict = super().update(self._loss())
        if verdict == "best":
            log.info("Epoch %d: Loss improved. Updating best model", self.epoch)
        else:
            log.info("Epoch %d: Loss has not improved for %d epochs.", self.epoch, before)
        self.epoch += 1
        return verdict

    def state_dict(self) -> dict[str, np.ndarray]:
        return super().state_dict() | {"epoch": np.array(self.epoch)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        super().load_state_dict(state)
        self.epoch = int(state["epoch"])
