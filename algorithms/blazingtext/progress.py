"""What a BlazingText job says of its speed, in the words of AWS's image."""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

EVERY_S = 2.0


class Progress:
    """Tokens learnt from, of `total` in all epochs, and the lines that tell of them."""

    def __init__(self, total: float, rate: float, line: str) -> None:
        self._total = total
        self._rate = rate
        self._line = line  # with places for alpha, percent and million words a second
        self._began = self._spoke = time.monotonic()
        self._tokens = 0  # in this run

    def add(self, tokens: int, position: int) -> None:
        """So many tokens more, the last of which is number `position` of all."""
        self._tokens += tokens
        now = time.monotonic()
        if now - self._spoke >= EVERY_S:
            self._spoke = now
            share = min(position / self._total, 1.0)
            log.info(self._line, self._rate * (1 - share), 100 * share, self._speed(now))

    def ended(self, mark: str) -> None:
        now = time.monotonic()
        log.info("Training finished%s", mark)
        log.info("Average throughput in Million words/sec: %.2f", self._speed(now))
        log.info("Total training time in seconds: %.2f", now - self._began)

    def _speed(self, now: float) -> float:
        return self._tokens / max(now - self._began, 1e-9) / 1e6
