"""Early stopping as AWS's image tells of it."""

from __future__ import annotations

import logging
from typing import Literal

from optml.algorithms.stopping import Patience

log = logging.getLogger(__name__)


class EarlyStopping(Patience):
    """Patience over the accuracy of the validation channel, with a line in the log for each epoch."""

    def __init__(self, patience: int) -> None:
        super().__init__(patience, maximize=True)

    def update(self, value: float) -> Literal["best", "stale", "stop"]:
        verdict = super().update(value)
        if verdict == "best":
            log.info("Validation accuracy improved! Storing best weights...")
        else:
            log.info("Validation accuracy has not improved for last %d epochs.", self.stale)
        return verdict
