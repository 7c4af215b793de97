"""What an epoch's anchors add up to, and the lines that AWS's log has of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import torch

from optml.algorithms.cluster import Cluster
from optml.algorithms.object_detection.losses import Loss

log = logging.getLogger(__name__)

EVERY = 100  # batches between lines
EXAMPLES, ENTROPY, DISTANCE = range(3)  # what is added up: anchors that count; their losses


class Progress:
    """Of the epoch under way. `totals` stay on the device, so that no batch waits for the one before it."""

    def __init__(self, cluster: Cluster, device: str) -> None:
        self.epoch = 0  # under way
        self.batch = 0  # of the epoch, behind us
        self._began = time.monotonic()
        self._images = 0  # since then; after a resume fewer than of the epoch
        self._cluster = cluster
        self._totals = torch.zeros(3, dtype=torch.float64, device=device)

    def begin(self) -> None:
        self._began, self._images = time.monotonic(), 0

    def add(self, images: int, loss: Loss) -> None:
        """A batch of this host."""
        self._totals[EXAMPLES] += loss.examples
        self._totals[ENTROPY] += loss.cross_entropy
        self._totals[DISTANCE] += loss.smooth_l1
        self._images += images
        self.passed()
        if self.batch % EVERY == 0 and self._cluster.rank == 0:
            seconds = max(time.monotonic() - self._began, 1e-9)
            log.info(
                "Epoch: %4d, batches: %6d, num_examples: %6d, %.1f samples/sec, epoch time so far:  %s",
                self.epoch, self.batch, self._images, self._images / seconds, timedelta(seconds=seconds),
            )  # fmt: skip

    def passed(self) -> None:
        """A batch is behind us, of this host or of others."""
        self.batch += 1

    def end(self) -> tuple[float, float] | None:
        """Cross entropy and smooth L1 of the epoch by anchor, over all hosts; None where nothing was seen.
        Holds a collective."""
        totals = self._totals.cpu().numpy().copy()
        self._cluster.all_sum(totals)
        self._totals.zero_()
        self.epoch, self.batch = self.epoch + 1, 0
        examples, entropy, distance = totals.tolist()
        return (entropy / examples, distance / examples) if examples else None

    def state_dict(self) -> dict[str, np.ndarray]:
        place = np.array([self.epoch, self.batch], np.int64)
        return {"progress": place, "totals": self._totals.cpu().numpy().copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.batch = state["progress"].tolist()
        self._totals.copy_(torch.from_numpy(np.array(state["totals"])))
