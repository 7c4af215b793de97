"""Windows of series as inputs of the network, by index arithmetic on the flat arrays.

One step's inputs, in the order of AWS's graph: calendar features, age, dynamic_feat, [embeddings of cat],
log(scale), targets at the lags divided by the scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from optml.algorithms.forecasting_deepar.frequency import Frequency
from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
from optml.algorithms.forecasting_deepar.series import Series

SMALLEST = np.float32(1e-10)  # scale


@dataclass(frozen=True, slots=True)
class Shape:
    """What a window consists of."""

    frequency: Frequency
    context: int
    horizon: int
    scaled: bool  # False: the scale is 1 (likelihood beta)
    remembers: bool = True  # where a context tells no scale, that of all points before; in AWS's graph, none

    @classmethod
    def of(cls, parameters: Hyperparameters) -> Shape:
        scaled = parameters.likelihood != "beta"
        return cls(parameters.frequency, parameters.context_length, parameters.prediction_length, scaled)

    @property
    def steps(self) -> int:
        return self.context + self.horizon


@dataclass(frozen=True, slots=True)
class Windows:
    """w windows of t steps, time first.

    inputs: (t, w, i) float32, all but the embeddings.   cat: (w, c) int64.
    target: (t, w) float32, 0 where not observed.   observed: (t, w) bool.
    real:   (t, w) bool, False before a series begins.   scale: (w,) float32.
    """

    inputs: np.ndarray
    cat: np.ndarray
    target: np.ndarray
    observed: np.ndarray
    real: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.scale)


def gather(
    series: Series,
    which: np.ndarray,
    at: np.ndarray,
    shape: Shape,
    fallback: float | np.ndarray,
    known: int | None = None,
) -> Windows:
    """The windows of series number `which` whose forecasts begin at point `at` ((w,) int64 each).

    fallback: the scale of windows that tell none (no observations, or zeros), one for all or (w,).
    known: of a request, the steps before its forecast.
    As a lag, a missing point is the last value before it; but in a request 0, if it is a step of the window:
    there the forecaster puts in what it thinks.
    """
    lags = shape.frequency.lags
    steps = np.arange(shape.steps)[:, None]
    place = at - shape.context + steps  # (t, w), counted from the beginning of the series
    real = place >= 0
    begin = series.bounds[which]
    flat = begin + np.maximum(place, 0)
    observed = real & series.observed[flat]
    target = np.where(observed, series.target[flat], np.float32(0))
    scale = _scale(target, observed, shape, fallback, lambda w: series.target[begin[w] : begin[w] + at[w]])

    calendar = len(shape.frequency.names)
    dynamics = len(series.dynamic)
    inputs = np.empty((*place.shape, calendar + 1 + dynamics + 1 + len(lags)), np.float32)
    inputs[..., :calendar] = shape.frequency.features(series.starts[which] + shape.frequency.step * place)
    inputs[..., calendar] = np.log10(2.0 + np.maximum(place, 0))
    for number, feature in enumerate(series.dynamic, calendar + 1):
        inputs[..., number] = np.where(real, feature[flat], np.float32(0))
    inputs[..., calendar + 1 + dynamics] = np.log(scale)
    back = place[..., None] - lags  # (t, w, l)
    lagged = series.filled[begin[:, None] + np.maximum(back, 0)]
    lagged[back < 0] = 0
    if known is not None:
        then = steps - lags  # (t, l)
        lagged[np.broadcast_to((then >= known)[:, None], lagged.shape)] = 0
        if not observed[:known][real[:known]].all():
            for number, back_to in enumerate(then.T):  # (t,)
                inside = np.flatnonzero((back_to >= 0) & (back_to < known))
                lagged[inside, :, number] *= observed[back_to[inside]]
    with np.errstate(over="ignore"):  # learning leaves out an update that is not finite
        np.divide(lagged, scale[:, None], out=inputs[..., calendar + 2 + dynamics :])
    return Windows(inputs, series.cat[which], target, observed, real, scale)


def admissible(series: Series, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Of each series, the first point where a forecast to learn from may begin, and the number of such points
    from there on (0: the series is too short): (n,) int64 each.

    A forecast begins behind a whole context, where the series is long enough for one: windows that are mostly
    padding are so hard that they drown the others' gradients.
    """
    last = series.lengths - shape.horizon
    first = np.clip(last, 0, shape.context)
    return first, np.maximum(last - first + 1, 0)


def _scale(
    target: np.ndarray,
    observed: np.ndarray,
    shape: Shape,
    fallback: float | np.ndarray,
    history: Callable[[int], np.ndarray],
) -> np.ndarray:
    """(w,) float32: the mean absolute value of what was observed of the context.

    history: all points of the w-th series before the forecast, NaN where not observed."""
    if not shape.scaled:
        return np.ones(target.shape[1], np.float32)
    count = observed[: shape.context].sum(axis=0)
    total = np.abs(target[: shape.context]).sum(axis=0, dtype=np.float64)
    mean = np.divide(total, count, out=np.zeros(len(count)), where=count > 0)
    for number in np.flatnonzero(mean == 0).tolist() if shape.remembers else ():
        past = np.abs(history(number), dtype=np.float64)
        past = past[~np.isnan(past)]
        mean[number] = past.mean() if len(past) else 0.0
    scale: np.ndarray = np.maximum(np.where(mean > 0, mean, fallback).astype(np.float32), SMALLEST)
    return scale
