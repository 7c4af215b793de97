"""What an epoch's images add up to, and the lines that AWS's log has of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import numpy as np
import torch

from optml.algorithms.cluster import Cluster

log = logging.getLogger(__name__)


class Speed:
    """Images a second since a pass began, of all hosts; every so many batches a line of it.

    images: of each batch, of all hosts together."""

    def __init__(self, epoch: int, every: int, cluster: Cluster) -> None:
        self._epoch, self._every, self._cluster = epoch, every, cluster
        self._began = time.monotonic()
        self._images = 0

    def add(self, images: int, batch: int, rest: str = "") -> None:
        """`batch` batches of the epoch are behind us, this one of so many images of this host. rest: of the
        line."""
        self._images += images
        if batch % self._every == 0 and self._cluster.rank == 0:
            log.info(
                "#progress_notice. epoch: %d, iterations: %d speed: %r samples/sec%s",
                self._epoch, batch, self._cluster.size * self._images / self._seconds, rest,
            )  # fmt: skip

    def end(self) -> float:
        """Images a second. Holds a collective."""
        images = np.array([self._images], np.float64)
        self._cluster.all_sum(images)
        return float(images[0] / self._seconds)

    @property
    def _seconds(self) -> float:
        return max(time.monotonic() - self._began, 1e-9)


class Progress:
    """Of the training epoch under way. The loss stays on the device, so that no batch waits for the one
    before it."""

    def __init__(self, every: int, cluster: Cluster, device: str) -> None:
        self.epoch = 0  # under way
        self.batch = 0  # of the epoch, behind us
        self._every, self._cluster = every, cluster
        self._speed = Speed(0, every, cluster)
        self._totals = torch.zeros(2, dtype=torch.float64, device=device)  # loss and weight of its images

    def begin(self) -> None:
        self._speed = Speed(self.epoch, self._every, self._cluster)

    def add(self, images: int, loss: torch.Tensor | None, weight: float, rate: float) -> None:
        """A batch is behind us. loss: the mean of this host's pixels, of which `weight` counts; None: it had
        no image."""
        self.batch += 1
        if loss is not None:
            self._totals[0] += loss.detach() * weight
            self._totals[1] += weight
        self._speed.add(images, self.batch, f" learning_rate: {rate:f}")

    def end(self) -> tuple[float, float] | None:
        """The mean loss of all hosts, and images a second; None where there were no images. Holds
        collectives."""
        totals = self._totals.cpu().numpy().copy()
        self._cluster.all_sum(totals)
        self._totals.zero_()
        self.epoch, self.batch = self.epoch + 1, 0
        speed = self._speed.end()
        return (float(totals[0] / totals[1]), speed) if totals[1] else None

    def state_dict(self) -> dict[str, np.ndarray]:
        place = np.array([self.epoch, self.batch], np.int64)
        return {"progress": place, "totals": self._totals.cpu().numpy().copy()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.epoch, self.batch = state["progress"].tolist()
        self._totals.copy_(torch.from_numpy(np.array(state["totals"])))
