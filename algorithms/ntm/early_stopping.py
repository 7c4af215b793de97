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

    def judged(self, losses: list[float], lowest: float, value: float) -> None:
        self._say(
            "patience losses:%s min patience loss:%s current loss:%s absolute loss difference:%s",
            losses, lowest, value, abs(lowest - value),
        )  # fmt: skip
        if self.bad:
            self._say("Bad epoch: loss has not improved (enough). Bad count:%d", self.bad)

    def stopped(self) -> None:
        self._say("Bad epochs exceeded patience. Stopping training early!")
        self._say("Early stop condition met. Stopping training.")

    def _say(self, text: str, *values: object) -> None:
        if not self.quiet:
            log.info(text, *values)
