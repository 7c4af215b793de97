"""A uniform sample of a stream, and of the streams of several hosts together.

Algorithm R of Vitter, "Random sampling with a reservoir", ACM TOMS 11 (1985): row t (from 0) takes a place
drawn from 0..t, if that is one of the sample's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from optml import memory
from optml.algorithms.cluster import Cluster

# Streams of random numbers, made from the seed when they are needed: a checkpoint holds no generator.
ABSORB, SHARE, CHOOSE = range(3)
MOST = 10**9  # rows of all hosts that NumPy's hypergeometric distribution takes


@dataclass(frozen=True, slots=True)
class Sample:
    """Points by their place in the training data.

    rows: (n, w) float32.   labels: (n,) float32.   seen: the rows that they were drawn from.
    """

    rows: np.ndarray
    labels: np.ndarray
    rows_seen: int


class Reservoir:
    """At most `capacity` of the rows of one host's stream, each as likely to be among them as any other."""

    def __init__(self, capacity: int, seed: int, rank: int) -> None:
        self.capacity = capacity
        self.seed = seed
        self.rank = rank
        self.rows_seen = 0
        self._size = 0
        self._rows = np.empty((0, 0), np.float32)
        self._labels = np.empty(0, np.float32)
        self._positions = np.empty(0, np.int64)

    def absorb(
        self,
        rows: np.ndarray,
        labels: np.ndarray,
        positions: np.ndarray,
        prepare: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """Take in rows (n, d) float32 with labels (n,) at increasing positions (n,) int64 of the training
        data. What is kept is `prepare(rows)` (., w): a reduction is applied to no more rows than need be.
        Raises UserError where the sample outgrows the machine's memory."""
        times = np.arange(self.rows_seen, self.rows_seen + len(rows))
        generator = np.random.default_rng((self.seed, ABSORB, self.rank, self.rows_seen))
        draws = generator.integers(0, times + 1)
        places = np.where(times < self.capacity, times, draws)
        entrants = np.flatnonzero(places < self.capacity)
        self.rows_seen += len(rows)
        if not len(entrants):
            return
        entries = prepare(rows[entrants])
        self._grow(min(self.rows_seen, self.capacity), entries.shape[1])
        places = places[entrants]  # of rows that take the same place the last one keeps it
        self._rows[places] = entries
        self._labels[places] = labels[entrants]
        self._positions[places] = positions[entrants]

    def sample(self) -> Sample | None:
        """This host's sample; None before the first row. Its arrays are those of the reservoir where all rows
        were kept."""
        if not self._size:
            return None
        rows, labels = self._rows[: self._size], self._labels[: self._size]
        if self.rows_seen > self.capacity:  # no longer in the order of the stream
            order = np.argsort(self._positions[: self._size])
            rows, labels = rows[order], labels[order]
        return Sample(rows, labels, self.rows_seen)

    def gather(self, cluster: Cluster) -> Sample | None:
        """The sample of the rows of all hosts, the same on each; None without rows.

        How many rows each host gives is drawn as if they had come from one urn, so that the whole is as
        uniform as one host's; where all rows fit in, all are kept.
        """
        if cluster.size == 1:
            return self.sample()
        counts = np.array([int(host[0]) for host in cluster.gather(np.array([self.rows_seen]))])
        urn = np.random.default_rng((self.seed, SHARE))
        total = int(counts.sum())
        shares = _shares(urn, counts, min(self.capacity, total))
        mine = np.random.default_rng((self.seed, CHOOSE, self.rank))
        choice = np.sort(mine.choice(self._size, int(shares[self.rank]), replace=False))
        columns = [
            np.concatenate([part for part in cluster.gather(array[choice]) if len(part)] or [array[:0]])
            for array in (self._rows, self._labels, self._positions)
        ]
        rows, labels, positions = columns
        order = np.argsort(positions)
        return Sample(rows[order], labels[order], total) if total else None

    def state_dict(self) -> dict[str, np.ndarray]:
        return {
            "seed": np.array(self.seed),
            "seen": np.array(self.rows_seen),
            "rows": self._rows[: self._size].copy(),
            "labels": self._labels[: self._size].copy(),
            "positions": self._positions[: self._size].copy(),
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.seed, self.rows_seen = int(state["seed"]), int(state["seen"])
        self._rows, self._labels, self._positions = (
            np.array(state[name]) for name in ("rows", "labels", "positions")
        )
        self._size = len(self._rows)

    def _grow(self, size: int, width: int) -> None:
        """Make room for `size` rows, by doubling."""
        self._size = size
        if size <= len(self._rows):
            return
        _require_memory(size, width, self.capacity)
        room = min(max(2 * len(self._rows), size), self.capacity)
        self._rows = _enlarge(self._rows.reshape(-1, width), room)
        self._labels = _enlarge(self._labels, room)
        self._positions = _enlarge(self._positions, room)


def _shares(urn: np.random.Generator, counts: np.ndarray, count: int) -> np.ndarray:
    """How many of `count` rows, drawn from all without replacement, come from each host."""
    if counts.sum() < MOST:
        return urn.multivariate_hypergeometric(counts, count, method="marginals")
    draws = urn.choice(counts.sum(), count, replace=False, shuffle=False)
    return np.bincount(np.searchsorted(np.cumsum(counts), draws, side="right"), minlength=len(counts))


def _enlarge(array: np.ndarray, rows: int) -> np.ndarray:
    larger = np.empty((rows, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def _require_memory(rows: int, width: int, capacity: int) -> None:
    """Better said than killed without a word."""
    size = rows * (4 * width + 4 + 8)
    memory.require(
        size,
        f"hyperparameter sample_size is {capacity}: its first {rows} rows of {width} numbers",
        "lower sample_size, reduce the dimension (dimension_reduction_type, dimension_reduction_target)",
    )
