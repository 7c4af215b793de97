"""Early stopping as AWS's image does it: against the lowest of the last losses, and told of in its words."""

from __future__ import annotations

import logging

from optml.algorithms.stopping import Window

log = logging.getLogger(__name__)


class EarlyStopping(Window):
    """quiet: on all hosts but the first."""

    def __init__(self, patience: int, tolerance: float, *, quiet: bool = False) -> None:
        super().__init__(patience, tolerance)
        self.quiet = quiet
        self.early = False  # has it ended training?

    def judged(self, losses: list[float], lowest: float, value: float) -> None:
        self._say("patience losses: %s", losses)
        self._say("min patience losses: %s", lowest)
        self._say("current loss: %s", value)
        self._say("absolute loss difference: %s", abs(lowest - value))
        if self.bad:
            self._say("Bad epoch: loss has not improved (enough). Bad count:%d", self.bad)

    def stopped(self) -> None:
        self.early = True
        self._say("Bad epochs exceeded patience. Stopping training early!")
        self._say("Early stopping criterion met! Stopping training at epoch: %d", self.epoch - 1)

    def _say(self, text: str, *values: object) -> None:
        if not self.quiet:
            log.info(text, *values)
