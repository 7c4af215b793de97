"""What an epoch's pairs add up to, and what AWS's image prints of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import torch

from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric

log = logging.getLogger(__name__)

EVERY = 100  # batches between two lines of an epoch
PAIRS, LOSS, RIGHT = range(3)


class Totals:
    """Pairs, the sum of their losses, and how many were classified right; on the device, until looked at."""

    def __init__(self, device: str = "cpu") -> None:
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)

    @property
    def pairs(self) -> int:
        return int(self._sums[PAIRS])

    @property
    def loss(self) -> float:
        return float(self._sums[LOSS]) / max(self.pairs, 1)

    @property
    def accuracy(self) -> float:
        return float(self._sums[RIGHT]) / max(self.pairs, 1)

    def add(self, losses: torch.Tensor, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        self._sums[PAIRS] += len(losses)
        self._sums[LOSS] += losses.detach().sum(dtype=torch.float64)
        if outputs.shape[1] > 1:
            self._sums[RIGHT] += (outputs.detach().argmax(1) == labels).sum()

    def summed(self, cluster: Cluster) -> Totals:
        """Over all hosts. Holds a collective."""
        sums = self.array()
        cluster.all_sum(sums)
        return Totals.of_array(sums)

    def array(self) -> np.ndarray:
        return self._sums.cpu().numpy().copy()

    @classmethod
    def of_array(cls, sums: np.ndarray, device: str = "cpu") -> Totals:
        totals = cls(device)
        totals._sums.copy_(torch.from_numpy(np.array(sums)))
        return totals


class Progress:
    """loss: the name of what is minimised.   quiet: on all hosts but the first."""

    def __init__(self, loss: str, *, quiet: bool) -> None:
        self.epoch = 0  # the one under way, counted from 0
        self.batches = 0  # of the epoch, on this host
        self.totals = Totals()
        self._loss = loss
        self._quiet = quiet
        self._ended = False  # has the epoch, but not its evaluation?
        self._began = time.monotonic()
        self._seen = 0  # pairs since then, on this host

    def add(self, losses: torch.Tensor, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        if self.totals._sums.device != losses.device:
            self.totals = Totals.of_array(self.totals.array(), str(losses.device))
        self.totals.add(losses, outputs, labels)

    def batch(self, pairs: int) -> None:
        """A batch of so many pairs was learnt from."""
        if self._ended or not self.batches:
            self._began, self._seen, self._ended = time.monotonic(), 0, False
        self.batches += 1
        self._seen += pairs
        if self.batches % EVERY == 0 and not self._quiet:
            seconds = max(time.monotonic() - self._began, 1e-9)
            log.info(
                "Epoch: %d, batches: %d, num_examples: %d, %.1f samples/sec, epoch time so far: %s",
                self.epoch, self.batches, self.totals.pairs, self._seen / seconds, timedelta(seconds=seconds),
            )  # fmt: skip
            log.info("\tTraining metrics: %s", self._words(self.totals))

    def end_epoch(self, totals: Totals) -> list[Metric]:
        """Print the epoch's values and begin the next one."""
        if not self._quiet:
            duration = timedelta(seconds=time.monotonic() - self._began)
            log.info("Completed Epoch: %d, time taken: %s", self.epoch, duration)
            log.info("Epoch %d Training metrics:   %s", self.epoch, self._words(totals))
        metrics = self._metrics("train", totals, self.epoch)
        self.totals = Totals()
        self.batches = 0
        self._ended = True
        self.epoch += 1
        return metrics

    def scored(self, channel: str, totals: Totals) -> list[Metric]:
        """Print the values of another channel; those of validation are of the epoch that has ended."""
        epoch = self.epoch - 1
        if channel == "validation" and not self._quiet:
            log.info("Epoch %d Validation metrics: %s", epoch, self._words(totals))
        return self._metrics(channel, totals, epoch)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"progress": np.array([self.epoch, self.batches]), "totals": self.totals.array()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.batches = state["progress"].tolist()
        self.totals = Totals.of_array(state["totals"])

    def _words(self, totals: Totals) -> str:
        if self._loss != "cross_entropy":
            return f"{self._loss}: {totals.loss:.3f}"
        perplexity = math.exp(min(totals.loss, 700))
        return (
            f"perplexity: {perplexity:.3f} cross_entropy: {totals.loss:.3f} accuracy: {totals.accuracy:.3f}"
        )

    def _metrics(self, channel: str, totals: Totals, epoch: int) -> list[Metric]:
        metrics = [Metric(f"{channel}:{self._loss}", totals.loss, epoch=epoch)]
        if self._loss == "cross_entropy":
            metrics.append(Metric(f"{channel}:accuracy", totals.accuracy, epoch=epoch))
        return metrics
