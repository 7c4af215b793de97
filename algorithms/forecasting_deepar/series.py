"""Many time series in one run of memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optml.algorithms.forecasting_deepar.frequency import Frequency


@dataclass(frozen=True)
class Series:
    """n series, one behind the other.

    starts:  (n,) int64, the moments of their first points.   bounds: (n + 1,) int64, where they begin in
    target:  (m,) float32, NaN where a value is missing; behind each series stand `future` slots (all NaN) for
             what is to be forecast.
    cat:     (n, c) int64.   dynamic: (f, m) float32, also for the future slots.
    """

    frequency: Frequency
    starts: np.ndarray
    bounds: np.ndarray
    target: np.ndarray
    cat: np.ndarray
    dynamic: np.ndarray
    future: int = 0

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) int64, points of each series without the future slots."""
        lengths: np.ndarray = np.diff(self.bounds) - self.future
        return lengths

    @cached_property
    def observed(self) -> np.ndarray:
        observed: np.ndarray = ~np.isnan(self.target)
        return observed

    @cached_property
    def scales(self) -> np.ndarray:
        """(n,) float64: the mean absolute value of each series, 0 where nothing is observed."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.bounds))[self.observed]
        absolute = np.bincount(owner, np.abs(self.target[self.observed]), len(self))
        scales: np.ndarray = absolute / np.maximum(np.bincount(owner, minlength=len(self)), 1)
        return scales

    @cached_property
    def filled(self) -> np.ndarray:
        """`target`, where a missing value is the last one before it of the same series, or 0."""
        places = np.arange(len(self.target))
        first = np.repeat(self.bounds[:-1], np.diff(self.bounds))
        last = np.maximum.accumulate(np.where(self.observed, places, -1))
        return np.where(last >= first, self.target[np.maximum(last, 0)], np.float32(0))

    def take(self, which: np.ndarray) -> Series:
        """Some of the series, in the order of `which`."""
        sizes = np.diff(self.bounds)[which]
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        places = np.arange(bounds[-1]) + np.repeat(self.bounds[:-1][which] - bounds[:-1], sizes)
        return Series(
            self.frequency,
            self.starts[which],
            bounds,
            self.target[places],
            self.cat[which],
            self.dynamic[:, places],
            self.future,
        )

    def holdout(self, horizon: int) -> tuple[Series, np.ndarray]:
        """These series, all at least `horizon` long, with their last values as future slots; and the (n,
        horizon) values."""
        last = self.bounds[1:, None] - np.arange(horizon, 0, -1)  # (n, horizon)
        target = self.target.copy()
        target[last] = np.nan
        history = Series(self.frequency, self.starts, self.bounds, target, self.cat, self.dynamic, horizon)
        return history, self.target[last]


def offender(series: Series, likelihood: str) -> str | None:
    """What is wrong with the values for a likelihood, of the first that is; None: nothing."""
    values = series.target
    with np.errstate(invalid="ignore"):
        if likelihood == "beta":
            wrong, wanted = (values < 0) | (values > 1), "from 0 to 1"
        elif likelihood == "negative-binomial":
            wrong = (values < 0) | ((values != np.floor(values)) & series.observed)
            wanted = "that are whole and not negative"
        else:
            return None
    if not wrong.any():
        return None
    at = int(np.flatnonzero(wrong)[0])
    number = int(np.searchsorted(series.bounds, at, side="right")) - 1
    value = float(values[at])
    return (
        f"likelihood={likelihood} is for values {wanted}, but value {at - int(series.bounds[number])} of "
        f"series {number} is {value:g}"
    )


def statistics(series: Series) -> list[str]:
    """What AWS's image says of a data set, line by line."""
    values = series.target[series.observed].astype(np.float64)
    missing = len(series.target) - len(values)
    whole = len(values) > 0 and bool((values == np.floor(values)).all())
    spread = (
        f"{values.min()}/{values.mean()}/{values.max()}"
        if len(values)
        else f"{math.nan}/{math.nan}/{math.nan}"
    )
    share = f"yes ({100 * missing / max(len(series.target), 1):.1f}%)" if missing else "no"
    return [
        "Integer time series" if whole else "Real time series",
        f"number of time series: {len(series)}",
        f"number of observations: {len(values)}",
        f"mean target length: {len(series.target) / max(len(series), 1)}",
        f"min/mean/max target: {spread}",
        f"mean abs(target): {np.abs(values).mean() if len(values) else math.nan}",
        f"contains missing values: {share}",
    ]
