"""Which images make which batch: the same for any number of threads, and after a resume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Ends = Literal["drop", "keep", "roll"]


@dataclass(frozen=True, slots=True)
class Order:
    """The batches of each epoch over `count` images. ends: what becomes of images that make no whole batch:
    `drop` leaves them out, `keep` makes a smaller batch of them, `roll` fills that with the first images of
    the next epoch, which then begins behind them.

    Of `hosts` that have the same images, this one (`host`) takes every hosts-th batch; with `drop`, all take
    equally many.
    """

    count: int
    batch_size: int
    seed: int
    shuffle: bool = True
    ends: Ends = "keep"
    host: int = 0
    hosts: int = 1

    def batches(self, epoch: int) -> int:
        """How many this host has in an epoch."""
        return len(range(self.host, self._all(epoch), self.hosts))

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches: pairs of images (k,) int64 and, for each, the epoch it is drawn in, (k,) int64."""
        images = self._permutation(number)[self._taken(number) :]
        epochs = np.full(len(images), number)
        missing = self._all(number) * self.batch_size - len(images)
        if self.ends == "roll" and missing > 0:
            images = np.concatenate([images, self._permutation(number + 1)[:missing]])
            epochs = np.concatenate([epochs, np.full(missing, number + 1)])
        for batch in range(self.host, self._all(number), self.hosts):
            part = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            yield images[part], epochs[part]

    def _all(self, epoch: int) -> int:
        """Batches of all hosts."""
        rest = max(self.count - self._taken(epoch), 0)
        if self.ends == "drop":
            whole = rest // self.batch_size
            return whole - whole % self.hosts
        return -(-rest // self.batch_size)

    def _taken(self, epoch: int) -> int:
        """Images of this epoch in the last batch of the one before."""
        return -epoch * self.count % self.batch_size if self.ends == "roll" else 0

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.count)
        return np.random.default_rng(np.random.SeedSequence((self.seed, epoch))).permutation(self.count)
