"""What the pairs add up to since the last evaluation, and what Sockeye prints of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

import numpy as np

from optml.algorithms.metrics import Metric

log = logging.getLogger(__name__)

EVERY = 50  # batches between two lines
TOKENS, LOSS, HITS, PAIRS = range(4)


def perplexity(sums: np.ndarray) -> float:
    """exp of the mean -log p of sums (4,)."""
    return math.exp(min(float(sums[LOSS]) / max(float(sums[TOKENS]), 1.0), 700.0))


def accuracy(sums: np.ndarray) -> float:
    return float(sums[HITS]) / max(float(sums[TOKENS]), 1.0)


class Progress:
    """quiet: on all hosts but the first."""

    def __init__(self, metric: str, *, quiet: bool) -> None:
        self.epoch = 0  # the one under way, counted from 0
        self.sums = np.zeros(4)  # tokens, their -log p, hits and pairs of this host since the last evaluation
        self._metric = metric
        self._quiet = quiet
        self._evaluations = 0
        self._pairs = 0  # of all hosts and of the whole job
        self._batches = 0  # of the epoch
        self._began = self._marked = time.monotonic()
        self._seen = 0  # pairs since the last line

    def batch(self, epoch: int, tokens: int, loss: float, hits: int, pairs: int) -> None:
        """A batch was learnt from."""
        if epoch != self.epoch:
            self.epoch, self._batches = epoch, 0
        self.sums += tokens, loss, hits, pairs
        self._batches += 1
        self._seen += pairs
        if self._batches % EVERY == 0 and not self._quiet:
            now = time.monotonic()
            speed, self._marked, self._seen = self._seen / max(now - self._marked, 1e-9), now, 0
            log.info(
                "Epoch[%d] Batch [%d]\tSpeed: %.2f samples/sec\t%s", self.epoch, self._batches, speed,
                self._words(self.sums),
            )  # fmt: skip

    def evaluated(self, sums: np.ndarray, updates: int) -> list[Metric]:
        """The values of all hosts' pairs since the last evaluation, which begins anew."""
        self._evaluations += 1
        self._pairs += int(sums[PAIRS])
        if not self._quiet:
            log.info(
                "Checkpoint [%d]\tUpdates=%d Epoch=%d Samples=%d Time-cost=%.3f", self._evaluations, updates,
                self.epoch, self._pairs, time.monotonic() - self._began,
            )  # fmt: skip
            log.info("Checkpoint [%d]\tTrain-%s", self._evaluations, self._words(sums))
        self._began = time.monotonic()
        self.sums = np.zeros(4)
        metrics = [Metric("train:perplexity", perplexity(sums), epoch=self.epoch)]
        if self._metric == "accuracy":
            metrics.append(Metric("train:accuracy", accuracy(sums), epoch=self.epoch))
        return metrics

    def scored(self, channel: str, values: Mapping[str, float]) -> list[Metric]:
        """The values of another channel."""
        for name, value in values.items():
            if not self._quiet:
                log.info("Checkpoint [%d]\tValidation-%s=%.6f", self._evaluations, name, value)
        return [Metric(f"{channel}:{name}", value, epoch=self.epoch) for name, value in values.items()]

    def state_dict(self) -> dict[str, np.ndarray]:
        numbers = np.array([self.epoch, self._evaluations, self._pairs, self._batches], np.int64)
        return {"progress": numbers, "sums": self.sums.copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self._evaluations, self._pairs, self._batches = state["progress"].tolist()
        self.sums = np.array(state["sums"])

    def _words(self, sums: np.ndarray) -> str:
        if self._metric == "accuracy":
            return f"accuracy={accuracy(sums):.6f}"
        return f"perplexity={perplexity(sums):.6f}"
