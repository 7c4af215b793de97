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
    equally many. With `split` it takes every hosts-th image of each batch instead.
    """

    count: int
    batch_size: int
    seed: int
    shuffle: bool = True
    ends: Ends = "keep"
    host: int = 0
    hosts: int = 1
    split: bool = False

    def batches(self, epoch: int) -> int:
        """How many this host has in an epoch."""
        return len(self._own(epoch))

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches: pairs of images (k,) int64 and, for each, the epoch it is drawn in, (k,) int64."""
        permutations = {number: self._permutation(number)}
        first = self._taken(number)
        for batch in self._own(number):
            places = np.arange(first + batch * self.batch_size, first + (batch + 1) * self.batch_size)
            if self.ends != "roll":
                places = places[places < self.count]
            if self.split:
                places = places[self.host :: self.hosts]
            epochs = number + places // self.count
            images = np.empty(len(places), np.int64)
            for epoch in np.unique(epochs).tolist():
                if epoch not in permutations:
                    permutations[epoch] = self._permutation(epoch)
                own = epochs == epoch
                images[own] = permutations[epoch][places[own] % self.count]
            yield images, epochs

    def _own(self, epoch: int) -> range:
        """The batches of this host, or those of which it has a part."""
        return range(self._all(epoch)) if self.split else range(self.host, self._all(epoch), self.hosts)

    def _all(self, epoch: int) -> int:
        """Batches of all hosts."""
        if self.ends == "roll":  # those that begin in it
            return -(-(epoch + 1) * self.count // self.batch_size) - -(-epoch * self.count // self.batch_size)
        if self.ends == "drop":
            whole = self.count // self.batch_size
            return whole if self.split else whole - whole % self.hosts
        return -(-self.count // self.batch_size)

    def _taken(self, epoch: int) -> int:
        """Images of this epoch in batches of those before."""
        return -epoch * self.count % self.batch_size if self.ends == "roll" else 0

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.count)
        return np.random.default_rng(np.random.SeedSequence((self.seed, epoch))).permutation(self.count)
