"""The levels of the training series, from which those of series without a history are drawn.

A series that has shown nothing but zeros, or nothing, has no scale of its own. What is known of it is its
cat: its level is one of those that training series of the same cat had. Each sample path draws one, so that
a forecast is as wide as these levels are.

A level is an absolute value. Where training series lie on both sides of zero, the side is drawn with it, and
stands in for the lags before the beginning: the autoregression of such series pulls all that is zero to zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar.series import Series

ARRAYS = ("levels", "level_means", "level_cats")  # in an artifact or a checkpoint
MOST = 100  # levels that are kept of a cat


@dataclass(frozen=True)
class Levels:
    """values: (m,) float32, mean absolute values of series, those of a cat side by side and ascending.
    means: (m,) float32, their means.   cats: (m, c) int64."""

    values: np.ndarray
    means: np.ndarray
    cats: np.ndarray

    @classmethod
    def of(cls, series: Series | None, cluster: Cluster) -> Levels | None:
        """Those of all hosts' series (None: a process that has none, or those of another). None where no
        series has a value. Holds collectives."""
        rows = np.empty((0, 0)) if series is None else _rows(series)
        parts = [part for part in cluster.gather(rows) if part.size]
        if not parts:
            return None
        table = np.concatenate(parts)
        cats = table[:, 2:].astype(np.int64)
        order = np.lexsort([table[:, 1], table[:, 0], *cats.T])  # by cat, then by level
        table, cats = table[order], cats[order]
        starts = np.flatnonzero(np.append(True, (np.diff(cats, axis=0) != 0).any(axis=1)))
        sizes = np.diff(starts, append=len(table))
        places = np.concatenate(
            [start + _spread(size) for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]
        )
        values, means = table[places, :2].T.astype(np.float32)
        return cls(values, means, cats[places])

    def __len__(self) -> int:
        return len(self.values)

    def draw(self, cat: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Levels that a new series of this cat ((c,) int64) may have, and in units of them its lags before
        the beginning: (count,) float32 each.

        Where no series had the whole cat, they are those of the series that share the most of its fields.
        Few series show too little of how far their levels may lie apart: each draw is smeared (a smoothed
        bootstrap) by as much as makes its variance that of a new member of so many, sigma^2 (1 + 1/k).
        """
        candidates = self._candidates(cat)
        generator = np.random.default_rng(seed)
        places = (np.arange(count) + generator.random(count)) * (len(candidates) / count)
        members = candidates[generator.permutation(places.astype(np.int64))]
        smear = self._spread * math.sqrt(2 / len(candidates))
        levels = self.values[members] * np.exp(smear * generator.standard_normal(count))
        return levels.astype(np.float32), self._lags[members]

    def middle(self, cat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the series that are drawn from, that of the middle mean: as one draw."""
        candidates = self._candidates(cat)
        place = candidates[np.argsort(self.means[candidates], kind="stable")[[len(candidates) // 2]]]
        return self.values[place], self._lags[place]

    def _candidates(self, cat: np.ndarray) -> np.ndarray:
        """Places of the levels to draw from."""
        shared = (self.cats == cat).sum(axis=1)
        candidates: np.ndarray = np.flatnonzero(shared == shared.max())
        return candidates

    @cached_property
    def _lags(self) -> np.ndarray:
        """(m,) float32: means in units of the levels; 0 where all series lie on one side, for then a network
        has learnt how series begin that have no lags yet."""
        if self.means.min() >= 0 or self.means.max() <= 0:
            return np.zeros_like(self.means)
        lags: np.ndarray = np.zeros_like(self.means)
        np.divide(self.means, self.values, out=lags, where=self.values > 0)
        return lags

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
        return dict(zip(ARRAYS, (self.values, self.means, self.cats), strict=True))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], cats: int) -> Levels | None:
        """None where there are none. Raises ValueError for what `arrays` did not return."""
        if "levels" not in arrays:
            return None
        values, means, table = (arrays.get(name, np.empty(0)) for name in ARRAYS)
        if values.ndim != 1 or means.shape != values.shape or table.shape != (len(values), cats):
            raise ValueError(f"{', '.join(ARRAYS)} are not those of {cats} cat")
        if not (np.isfinite(values) & np.isfinite(means) & (values >= 0)).all():
            raise ValueError("'levels' holds numbers that are no levels")
        return cls(values, means, table) if len(values) else None


def _rows(series: Series) -> np.ndarray:
    """(n, 2 + c) float64: level, mean and cat of each series that has some value."""
    sums = np.add.reduceat(np.append(np.nan_to_num(series.target), 0).astype(np.float64), series.bounds[:-1])
    counts = np.add.reduceat(np.append(series.observed, False).astype(np.int64), series.bounds[:-1])
    columns = series.scales, sums / np.maximum(counts, 1), series.cat
    rows: np.ndarray = np.column_stack(columns)[(counts > 0) & (series.lengths > 0)]
    return rows


def _spread(size: int) -> np.ndarray:
    """At most `MOST` places, evenly spread over so many."""
    number = min(size, MOST)
    places: np.ndarray = ((np.arange(number) + 0.5) * (size / number)).astype(np.int64)
    return places
