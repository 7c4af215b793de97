"""Early stopping as AWS's image does it and tells of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

import numpy as np

from algorithms.stopping import Patience

log = logging.getLogger("optml")


class EarlyStopping(Patience):
    """Patience over one value an epoch, with a line in the log for each."""

    def __init__(self, patience: int, tolerance: float, *, maximize: bool) -> None:
        super().__init__(patience, tolerance, maximize=maximize)
        self.epoch = 0

    def update(self, value: float) -> Literal["best", "stale", "stop"]:
        before = self.stale
        verdict = super().update(value)
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
