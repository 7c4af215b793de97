"""The channels as batches: windows drawn from the training series, the series of the test channel."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import share
from optml.algorithms.forecasting_deepar import settings
from optml.algorithms.forecasting_deepar.facts import Facts
from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
from optml.algorithms.forecasting_deepar.reading import describe, read
from optml.algorithms.forecasting_deepar.series import Series, offender
from optml.algorithms.forecasting_deepar.windows import Shape, admissible
from optml.algorithms.sources import Source
from optml.errors import UserError

log = logging.getLogger(__name__)

SCORED = 256  # series of the test channel at a time


def data(source: Source, setting: Setting) -> Any:
    """The data of one channel (`algorithms.base.Training.data`). It is read at once: what is wrong with the
    test channel is better known before training than after."""
    parameters: Hyperparameters = setting.hyperparameters
    series = read(source, parameters)
    if source.stopped():
        series = series.take(np.arange(0))
        return Sampler(series, parameters) if source.name == "train" else TestSeries(series, setting)
    problem = offender(series, parameters.likelihood)
    if problem:
        raise UserError(f"channel '{source.name}': {problem}")
    # Processes that have the same series draw the same windows, and deal them out.
    place, sharers = share(source.distribution, setting.cluster)
    if not len(series) and sharers == setting.cluster.size:  # else other hosts may have some
        raise UserError(f"channel '{source.name}' is empty: there are no series in its files")
    describe(series, "Training" if source.name == "train" else "Test")
    if source.name == "test":
        return TestSeries(series, setting)
    return Sampler(series, parameters, (setting.seed, setting.cluster.rank // sharers), (place, sharers))


@dataclass(frozen=True, slots=True)
class Draw:
    """The windows of one update: of series number `which`, with forecasts that begin at point `at`."""

    which: np.ndarray  # (w,) int64
    at: np.ndarray  # (w,) int64
    level: np.ndarray  # (w,) float64, log of the scale of each one's series, less the mean over all windows

    def __len__(self) -> int:
        return len(self.which)


class Sampler:
    """Windows of the series that are long enough, drawn anew for each epoch.

    dealt: (r, n): of every n windows, the r-th is for this process, one of n that have these series.
    """

    def __init__(
        self,
        series: Series,
        parameters: Hyperparameters,
        seed: tuple[int, ...] = (0,),
        dealt: tuple[int, int] = (0, 1),
    ) -> None:
        self.series = series
        self.size = parameters.mini_batch_size
        self._seed = seed
        self._dealt = dealt
        self._first, starts = admissible(series, Shape.of(parameters))
        self._ends = np.cumsum(starts)
        self._used = int((starts > 0).sum())
        self._level = _levels(series, starts)
        short = len(series) - self._used
        if short:
            log.warning(
                "%d of %d series are shorter than prediction_length=%d and are ignored in training",
                short, len(series), parameters.prediction_length,
            )  # fmt: skip
        self.passes, self.probability = rule(max(self._used, 1), self.size)
        if self._used and (self.passes, self.probability) != (1, 1.0):
            log.info(
                "Small number of time series. Doing %d passes over dataset with prob %s per epoch.",
                self.passes, self.probability,
            )  # fmt: skip

    @property
    def empty(self) -> bool:
        """Is no series long enough to learn from?"""
        return not self._used

    @property
    def counts(self) -> bool:
        """Of the processes that have these series, is this the one that counts them?"""
        return self._dealt[0] == 0

    def epoch(self, number: int) -> Iterator[Draw]:
        """Every place where a forecast may begin is taken independently, in each pass, with the same
        probability; so longer series give more windows."""
        if self.empty:
            return
        generator = np.random.default_rng((*self._seed, number))
        total = int(self._ends[-1])
        each = min(1.0, self.probability * self._used / total)
        passes = [
            generator.choice(total, generator.binomial(total, each), replace=False, shuffle=False)
            for _ in range(self.passes)
        ]
        places = generator.permutation(np.concatenate(passes))
        place, sharers = self._dealt
        places = places[place::sharers]
        which = np.searchsorted(self._ends, places, side="right")
        at = places - np.concatenate([[0], self._ends])[which] + self._first[which]
        for start in range(0, len(places), self.size):
            batch = slice(start, start + self.size)
            yield Draw(which[batch], at[batch], self._level[which[batch]])


def _levels(series: Series, starts: np.ndarray) -> np.ndarray:
    """`Draw.level` of windows of each series, of which `starts` ((n,) int64) may be drawn."""
    level = np.log(np.where(series.scales > 0, series.scales, 1))
    levels: np.ndarray = level - (starts @ level) / max(starts.sum(), 1)
    return levels


def rule(series: int, size: int) -> tuple[int, float]:
    """Passes over the series in an epoch, and the expected number of windows a series and pass."""
    if series >= settings.BATCHES_OF_EPOCH * size:
        return 1, 1.0
    passes = math.ceil(settings.BATCHES_OF_EPOCH * size / series)
    return passes, settings.BATCHES_OF_EPOCH * size / series / passes


class TestSeries:
    """The series of the test channel that can be scored, in parts; on H hosts host r takes every H-th."""

    def __init__(self, series: Series, setting: Setting) -> None:
        self._horizon = setting.hyperparameters.prediction_length
        self._series = series
        self._scored = np.arange(len(series))
        self._cluster = setting.cluster
        self._facts: Facts | None = None

    def fit_to(self, facts: Facts) -> None:
        """Leave out the series that a network of these facts is not for, or whose truth is not known, and say
        so. Raises UserError if none are left: that is better known before training than after."""
        series = self._series
        if self._facts == facts or not len(series):
            return
        self._facts = facts
        for field, count, trained in (
            ("cat", series.cat.shape[1], len(facts.cardinality)),
            ("dynamic_feat", len(series.dynamic), facts.dynamics),
        ):
            if count != trained:
                raise UserError(
                    f"channel 'test' cannot be scored: its series have {count or 'no'} {field}, those of "
                    f"channel 'train' {trained or 'none'}"
                )
        long = series.lengths >= self._horizon
        seen = (series.cat < np.array(facts.cardinality, np.int64)).all(axis=1)
        last = np.maximum(series.bounds[1:, None] - np.arange(self._horizon, 0, -1), series.bounds[:-1, None])
        true = long & series.observed[np.minimum(last, len(series.target) - 1)].any(axis=1)
        reasons = []
        for left_out, reason in (
            (~long, f"are shorter than prediction_length={self._horizon}"),
            (long & ~seen, "have categories that channel 'train' does not"),
            (seen & long & ~true, f"have no value among the last {self._horizon}"),
        ):
            if left_out.any():
                first = int(np.flatnonzero(left_out)[0])
                cat = f", cat {series.cat[first].tolist()}" if series.cat.shape[1] else ""
                place = f"the first is series {first}{cat}"
                reasons.append(f"{left_out.sum()} of {len(series)} test series {reason} ({place})")
        self._scored = np.flatnonzero(long & seen & true)
        if not len(self._scored):
            raise UserError(f"channel 'test' cannot be scored: {'; '.join(reasons)}")
        for reason in reasons:
            log.warning("%s: not scored", reason)

    def epoch(self, number: int) -> Iterator[Series]:
        mine = self._scored[self._cluster.rank :: self._cluster.size]
        for start in range(0, len(mine), SCORED):
            yield self._series.take(mine[start : start + SCORED])
