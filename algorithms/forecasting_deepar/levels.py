"""The levels of the training series, from which those of series without a history are drawn.

A series that has shown nothing but zeros, or nothing, has no scale of its own. What is known of it is its
cat: its level is one of those that training series of the same cat had. Each sample path draws one, so that
a forecast is as wide as these levels are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from algorithms.base import Cluster
from algorithms.forecasting_deepar.series import Series

MOST = 100  # levels that are kept of a cat


@dataclass(frozen=True)
class Levels:
    """values: (m,) float32, mean absolute values of series, those of a cat side by side and ascending.
    cats: (m, c) int64."""

    values: np.ndarray
    cats: np.ndarray

    @classmethod
    def of(cls, series: Series | None, cluster: Cluster) -> Levels | None:
        """Those of all hosts' series (None: a process that has none, or those of another). None where no
        series has a value. Holds collectives."""
        rows = np.empty((0, 0)) if series is None else _rows(series)
        held = [each for each in cluster.gather(rows) if each.size]
        if not held:
            return None
        table = np.concatenate(held)
        table = table[np.lexsort(table.T)]  # by cat, then by level
        starts = np.flatnonzero(np.append(True, (np.diff(table[:, 1:], axis=0) != 0).any(axis=1)))
        sizes = np.diff(starts, append=len(table))
        kept = np.concatenate(
            [start + _spread(size) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]
        )
        return cls(table[kept, 0].astype(np.float32), table[kept, 1:].astype(np.int64))

    def __len__(self) -> int:
        return len(self.values)

    def draw(self, cat: np.ndarray, count: int, seed: int) -> np.ndarray:
        """(count,) float32 levels that a new series of this cat ((c,) int64) may have.

        Where no series had the whole cat, they are those of the series that share the most of its fields.
        Few series show too little of how far their levels may lie apart: each draw is smeared (a smoothed
        bootstrap) by as much as makes its variance that of a new member of so many, sigma^2 (1 + 1/k).
        """
        candidates = self._candidates(cat)
        generator = np.random.default_rng(seed)
        places = (np.arange(count) + generator.random(count)) * (len(candidates) / count)
        levels = candidates[generator.permutation(places.astype(np.int64))]
        smear = self._spread * math.sqrt(2 / len(candidates))
        drawn: np.ndarray = levels * np.exp(smear * generator.standard_normal(count))
        return drawn.astype(np.float32)

    def middle(self, cat: np.ndarray) -> float:
        """The median of what is drawn from."""
        return float(np.median(self._candidates(cat)))

    def _candidates(self, cat: np.ndarray) -> np.ndarray:
        shared = (self.cats == cat).sum(axis=1)
        candidates: np.ndarray = self.values[shared == shared.max()]
        return candidates

    @cached_property
    def _spread(self) -> float:
        """Deviation of the logarithms of the levels of a cat, all cats together."""
        some = self.values > 0
        _, group, sizes = np.unique(self.cats[some], axis=0, return_inverse=True, return_counts=True)
        logs, group = np.log(self.values[some].astype(np.float64)), group.reshape(-1)
        means = np.bincount(group, logs, len(sizes)) / np.maximum(sizes, 1)
        free = int((sizes - 1).sum())
        return math.sqrt(float(np.square(logs - means[group]).sum()) / free) if free > 0 else 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        """For an artifact or a checkpoint."""
        return {"levels": self.values, "level_cats": self.cats}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], cats: int) -> Levels | None:
        """None where there are none. Raises ValueError for what `arrays` did not return."""
        if "levels" not in arrays:
            return None
        values, table = arrays["levels"], arrays.get("level_cats")
        if values.ndim != 1 or table is None or table.shape != (len(values), cats):
            raise ValueError(f"'levels' and 'level_cats' are not those of {cats} cat")
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError("'levels' holds numbers that are no levels")
        return cls(values, table) if len(values) else None


def _rows(series: Series) -> np.ndarray:
    """(n, 1 + c) float64: level and cat of each series that has some value."""
    some = np.add.reduceat(np.append(series.observed, False), series.bounds[:-1]) > 0
    rows: np.ndarray = np.column_stack([series.scales, series.cat])[some & (series.lengths > 0)]
    return rows


def _spread(size: int) -> np.ndarray:
    """At most `MOST` places, evenly spread over so many."""
    number = min(size, MOST)
    places: np.ndarray = ((np.arange(number) + 0.5) * (size / number)).astype(np.int64)
    return places
