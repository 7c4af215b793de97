"""Early stopping, and what its patience means to the learning rate."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

import numpy as np

from optml.algorithms.forecasting_deepar import settings
from optml.algorithms.stopping import Patience

log = logging.getLogger(__name__)


class EarlyStopping(Patience):
    """Patience over the epochs' losses, with a line in the log for each, as AWS's image prints it.

    The learning rate is to be halved by every quarter of the patience that is used up: else a job would stop
    at a rate that never fell.
    """

    def __init__(self, patience: int) -> None:
        super().__init__(patience)
        self.halvings = 0

    def update(self, value: float) -> Literal["best", "stale", "stop"]:
        verdict = super().update(value)
        log.info("best epoch loss so far" if verdict == "best" else "loss did not improve")
        if self.stale and self.stale % max(self.patience // 4, settings.PLATEAU) == 0:
            self.halvings += 1
        return verdict

    def state_dict(self) -> dict[str, np.ndarray]:
        return super().state_dict() | {"halvings": np.array(self.halvings)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        super().load_state_dict(state)
        self.halvings = int(state["halvings"])
