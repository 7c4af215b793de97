"""Where a network begins: at the linear autoregression of its lags.

From small random weights an LSTM spends thousands of updates on learning to repeat what was a day or a week
ago, and is never exact at it. Least squares finds that at once; one unit then carries it
(`DeepAR.carry`), and learning begins there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar import settings
from optml.algorithms.forecasting_deepar.series import Series
from optml.algorithms.forecasting_deepar.windows import Shape, admissible, gather


@dataclass(frozen=True, slots=True)
class Autoregression:
    """value / scale = level + weights . lags / scale.   weights: (l,) float64.

    deviation: of values from that, in scales, as of a normal distribution with their mean absolute deviation.
    whitening: (l, l) float64, symmetric; lags times it vary alike in all directions. Rows of rare ones are 0:
               a forecast has them all, and what a few points of training teach of them is mostly chance.
    """

    weights: np.ndarray
    level: float
    deviation: float
    whitening: np.ndarray


def fit(series: Series | None, shape: Shape, fallback: float, cluster: Cluster) -> Autoregression | None:
    """Least squares. None where values are too far apart for it. Holds collectives."""
    count = len(shape.frequency.lags)
    inputs, target, seen = _points(series, shape, fallback) if series is not None else _none(count)
    absent = np.append((np.isnan(inputs) & seen[..., None]).sum(axis=(0, 1)), seen.sum()).astype(np.float64)
    cluster.all_sum(absent)
    used = np.flatnonzero(absent[:-1] <= settings.ABSENT_LAG * absent[-1])
    inputs = inputs[..., used]
    seen = seen & ~np.isnan(inputs).any(axis=-1)
    inputs[~seen] = 0
    flat = inputs.reshape(-1, len(used))
    sums = np.vstack([flat.T @ flat, (seen * target).reshape(-1) @ flat])
    cluster.all_sum(sums)
    if not np.isfinite(sums).all():
        return None
    gram, moment = sums[:-1], sums[-1]
    mean, covariance = gram[-1, :-1], gram[:-1, :-1]
    points = max(gram[-1, -1], 1)
    whitening = np.diag(absent[:count] <= (1 - settings.RARE_LAG) * absent[-1]) / math.sqrt(count)
    whitener = _whitener(covariance / points - np.outer(mean, mean) / points**2)
    whitening[np.ix_(used[:-1], used[:-1])] = whitener / math.sqrt(count)
    ridge = settings.RIDGE * np.trace(gram) / len(used)
    gram[np.diag_indices(len(used) - 1)] += ridge  # of all but the level
    solution = np.linalg.lstsq(gram, moment)[0]
    off = np.abs(target - inputs @ solution) * seen
    total = np.array([off.sum(), seen.sum()])
    cluster.all_sum(total)
    if not np.isfinite(total).all():
        return None
    weights = np.zeros(count + 1)
    weights[used] = solution
    deviation = math.sqrt(math.pi / 2) * total[0] / max(total[1], 1)
    return Autoregression(weights[:-1], float(weights[-1]), float(deviation), whitening)


def _whitener(covariance: np.ndarray) -> np.ndarray:
    """(k, k), symmetric: what it multiplies varies in all directions as much as in that of the most variance,
    and stays as near as it can to what it was (ZCA: Kessy, Lewin and Strimmer, 2018)."""
    values, vectors = np.linalg.eigh(covariance)
    if not values.max(initial=0) > 0:
        return np.eye(len(values))
    shares = np.maximum(values / values.max(), 0)
    raised = np.diag(np.sqrt((1 + settings.WHITENING_FLOOR) / (shares + settings.WHITENING_FLOOR)))
    whitener: np.ndarray = vectors @ raised @ vectors.T
    return whitener


def _points(series: Series, shape: Shape, fallback: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs (t, w, l + 1), the last of them 1, NaN where they lie before the beginning; targets (t, w), in
    scales; which of them are observed."""
    which, at = _windows(series, shape)
    windows = gather(series, which, at, shape, fallback)
    lags = shape.frequency.lags
    inputs = np.ones((*windows.target.shape, len(lags) + 1))
    inputs[..., :-1] = windows.inputs[..., -len(lags) :]
    place = at - shape.context + np.arange(shape.steps)[:, None]
    inputs[..., :-1][place[..., None] < lags] = np.nan
    return inputs, windows.target.astype(np.float64) / windows.scale, windows.observed


def _none(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty((0, 0, count + 1)), np.empty((0, 0)), np.empty((0, 0), bool)


def _windows(series: Series, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Some of the windows that training draws: numbers of series, and places where forecasts begin."""
    first, starts = admissible(series, shape)
    ends = np.cumsum(starts)  # not all 0: of a channel without a long series there are no batches
    places = np.random.default_rng(0).integers(ends[-1], size=max(settings.FIT_POINTS // shape.steps, 1))
    which = np.searchsorted(ends, places, side="right")
    return which, places - (ends - starts)[which] + first[which]
