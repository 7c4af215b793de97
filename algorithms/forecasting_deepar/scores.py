"""How good forecasts are: the metrics of the test channel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar.model import quantiles


@dataclass(frozen=True, slots=True)
class Scores:
    rmse: float
    weighted: np.ndarray  # (q,) wQuantileLoss of each quantile
    absolute: float  # mean_absolute_QuantileLoss

    @property
    def mean_weighted(self) -> float:
        return float(self.weighted.mean())


class Total:
    """Sums over forecasts and their truths; a point without truth does not count."""

    def __init__(self, wanted: Sequence[float]) -> None:
        self._wanted = np.asarray(wanted)
        self._losses = np.zeros(len(wanted))
        self._sums = np.zeros(3)  # squared errors, points, absolute truths

    def add(self, paths: np.ndarray, truth: np.ndarray) -> None:
        """paths: (n, s, p).   truth: (n, p), NaN where it is missing."""
        there = ~np.isnan(truth)
        truth = np.where(there, truth, 0.0).astype(np.float64)
        errors = np.where(there, paths.mean(axis=1, dtype=np.float64) - truth, 0.0)
        self._sums += np.array([np.square(errors).sum(), there.sum(), np.abs(truth).sum()])
        forecasts = quantiles(paths, self._wanted.tolist())
        for place, q in enumerate(self._wanted):
            short = truth - forecasts[place]
            loss = np.where(there, np.maximum(q * short, (q - 1) * short), 0.0)
            self._losses[place] += 2 * loss.sum()

    def scores(self, cluster: Cluster) -> Scores:
        """Over all hosts; nan where there is no truth, or only zeros, to weigh by. Holds a collective."""
        cluster.all_sum(self._losses, self._sums)
        squares, points, absolute = self._sums
        nan = math.nan
        weighted = self._losses / absolute if absolute else np.full(len(self._wanted), nan)
        return Scores(math.sqrt(squares / points) if points else nan, weighted, float(self._losses.mean()))
