"""A uniform sample without replacement of a stream, in memory bounded by its size.

Every row gets a key, 64 random bits made from the seed, the host and the row's number; the rows of the
smallest keys are the sample. So it does not depend on batches, it can be saved and resumed, and the samples
of several hosts merge into the sample of all their rows, whatever their shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from optml.algorithms.cluster import Cluster

STREAM = 0  # of random numbers, beside the trees'
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """The rows of a sample in order of arrival, host after host.

    keys: (n,) uint64, in whose order the rows are shuffled.   rows: (n, d) float32.
    seen: how many rows they were drawn from.
    """

    keys: np.ndarray
    rows: np.ndarray
    rows_seen: int


class Sample:
    """The rows of the `capacity` smallest keys among those absorbed so far, on one host."""

    def __init__(self, capacity: int, width: int, seed: int, host: int) -> None:
        self.capacity = capacity
        self.width = width
        self.rows_seen = 0
        self._start = _start(seed, host)
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []  # keys and rows, in order of arrival
        self._size = 0
        self._highest: np.uint64 | None = None  # key of a full sample; rows with higher ones stay out

    def absorb(self, rows: np.ndarray) -> None:
        """Take in (n, d) float32 rows; they are copied."""
        keys = _keys(self._start, self.rows_seen, len(rows))
        self.rows_seen += len(rows)
        if self._highest is None:
            self._parts.append((keys, rows.copy()))
        else:
            places = np.flatnonzero(keys < self._highest)
            if not len(places):
                return
            self._parts.append((keys[places], rows[places]))
        self._size += len(self._parts[-1][0])
        if self._size >= 2 * self.capacity:
            self._compact()

    def gather(self, cluster: Cluster) -> KeyedRows:
        """The sample of all hosts, on every host. A collective."""
        keys, rows = self._compact()
        rows_seen = np.array([self.rows_seen], np.int64)
        if cluster.size == 1:
            return KeyedRows(keys, rows, self.rows_seen)
        cluster.all_sum(rows_seen)
        everyone = np.concatenate(cluster.gather(keys))
        if len(everyone) > self.capacity:  # send no rows that another host's keys rule out
            highest = np.partition(everyone, self.capacity - 1)[self.capacity - 1]
            keys, rows = keys[keys <= highest], rows[keys <= highest]
        return KeyedRows(
            np.concatenate(cluster.gather(keys)), np.concatenate(cluster.gather(rows)), int(rows_seen[0])
        )

    def local(self) -> KeyedRows:
        """What this host has by itself."""
        return KeyedRows(*self._compact(), self.rows_seen)

    def state_dict(self) -> dict[str, np.ndarray]:
        keys, rows = self._compact()
        return {"keys": keys, "rows": rows, "seen": np.array(self.rows_seen), "start": np.array(self._start)}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._parts = [(np.array(state["keys"]), np.array(state["rows"]))]
        self._size = len(state["keys"])
        self.rows_seen = int(state["seen"])
        self._start = np.uint64(state["start"])
        self._highest = None
        self._compact()  # a full one knows its highest key again

    def _compact(self) -> tuple[np.ndarray, np.ndarray]:
        """Drop what exceeds the capacity, and join the parts."""
        keys = np.concatenate([np.empty(0, np.uint64), *(part[0] for part in self._parts)])
        if len(keys) >= self.capacity:
            highest = np.partition(keys, self.capacity - 1)[self.capacity - 1]
            self._parts = [(keys[keys <= highest], rows[keys <= highest]) for keys, rows in self._parts]
            self._highest = highest
            keys = keys[keys <= highest]
        rows = np.concatenate([np.empty((0, self.width), np.float32), *(part[1] for part in self._parts)])
        self._parts, self._size = [(keys, rows)], len(keys)
        return keys, rows


def _start(seed: int, host: int) -> np.uint64:
    return np.uint64(np.random.SeedSequence((seed, STREAM, host)).generate_state(1, np.uint64)[0])


def _keys(start: np.uint64, first: int, count: int) -> np.ndarray:
    """Keys (count,) of the rows from number `first`: SplitMix64 (Steele, Lea, Flood, "Fast Splittable
    Pseudorandom Number Generators", OOPSLA 2014) begun at `start`. No two rows of a host share one."""
    keys = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    keys *= GOLDEN
    keys += start
    keys ^= keys >> np.uint64(30)
    keys *= np.uint64(0xBF58476D1CE4E5B9)
    keys ^= keys >> np.uint64(27)
    keys *= np.uint64(0x94D049BB133111EB)
    keys ^= keys >> np.uint64(31)
    return keys
