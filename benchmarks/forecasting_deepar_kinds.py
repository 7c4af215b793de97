"""What each addition to DeepAR's learning gains, over many kinds of series.

    python -m benchmarks.forecasting_deepar_kinds [--draw 0] [--seeds 3] [--kinds ...] [--without ...]

Networks learn for some hundred updates and forecast what follows; then the same with one addition taken away.
The same seed begins with the same weights and draws the same windows. What it gains is log(wQL without / wQL
with): the mean over seeds, and the standard error by their number.

draw 0  to choose by: made-up series; of the real sets of ../shared/data one window before the last
draw 1  to report: other made-up series; of the real sets the last window
"""

from __future__ import annotations

import contextlib
import csv
import io
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from benchmarks.forecasting_deepar import (
    DATA,
    QUANTILES,
    Task,
    awss_example,
    exchange_rate,
    m4_hourly,
    ours,
    quality,
)

SEEDS = 3
CELLS = 30


@dataclass(frozen=True)
class Kind:
    """make: the task of a draw.   updates: of learning.   hyperparameters: where they are not the default."""

    make: Callable[[int], Task]
    updates: int = 150
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


def _task(
    name: str, table: np.ndarray | list[np.ndarray], frequency: str, season: int, context: int, horizon: int
) -> Task:
    return Task(
        name, frequency, season, context, 0, (0, context, False), 1e-3,
        [row[:-horizon] for row in table], np.stack([row[-horizon:] for row in table]),
    )  # fmt: skip


def _made(name: str, draw: int, n: int, points: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """A generator, levels (n, 1) over two orders of magnitude, and times (points,)."""
    generator = np.random.default_rng([*name.encode(), draw])
    return generator, np.exp(generator.uniform(0, 4.6, (n, 1))), np.arange(points)


def _week(generator: np.random.Generator, n: int, time: np.ndarray, strength: float) -> np.ndarray:
    """(n, t) a pattern of the week, somewhat alike in all series."""
    days = generator.normal(size=7) + 0.3 * generator.normal(size=(n, 7))
    return strength * days[:, time % 7]


def daily(draw: int) -> Task:
    """A wave a day, of a strength and phase of each series'."""
    g, level, time = _made("daily", draw, 50, 300)
    swing, phase = g.uniform(0.1, 0.5, (50, 1)), g.normal(0, 0.5, (50, 1))
    wave = 1 + swing * np.sin(2 * np.pi * time / 24 + phase)
    return _task("daily", level * (wave + 0.1 * g.normal(size=wave.shape)), "H", 24, 48, 24)


def growth(draw: int) -> Task:
    """Exponential growth at a rate of each series', with a week."""
    g, level, time = _made("growth", draw, 50, 220)
    rate = g.uniform(-0.002, 0.01, (50, 1))
    table = level * np.exp(rate * time) * (1 + _week(g, 50, time, 0.1) + 0.05 * g.normal(size=(50, 220)))
    return _task("growth", table, "D", 7, 28, 14)


def spikes(draw: int) -> Task:
    """A flat level with a peak at one hour of the day, and others at random."""
    g, level, time = _made("spikes", draw, 50, 300)
    known = (time % 24 == g.integers(24, size=(50, 1))) * g.uniform(2, 5, (50, 1))
    random = (g.random((50, 300)) < 0.02) * g.exponential(5, (50, 300))
    return _task("spikes", level * (1 + known + random + 0.1 * g.normal(size=(50, 300))), "H", 24, 48, 24)


def zero_mean(draw: int) -> Task:
    """An autoregression about zero, with a week."""
    g, level, time = _made("zero mean", draw, 50, 250)
    table = g.normal(size=(50, 250))
    for t in range(1, 250):
        table[:, t] += 0.6 * table[:, t - 1]
    return _task("zero mean", level * (table + _week(g, 50, time, 1.0)), "D", 7, 28, 14)


def intermittent(draw: int) -> Task:
    """Counts, most of them zero, with a week."""
    g, _, time = _made("intermittent", draw, 60, 250)
    mean = np.exp(g.normal(-0.7, 0.7, (60, 1)) + _week(g, 60, time, 0.5))
    return _task("intermittent", g.poisson(mean).astype(float), "D", 7, 28, 14)


def shifts(draw: int) -> Task:
    """Levels that jump now and then."""
    g, level, time = _made("shifts", draw, 50, 250)
    jumps = np.cumsum((g.random((50, 250)) < 0.01) * g.normal(0, 0.7, (50, 250)), axis=1)
    table = level * np.exp(jumps) * (1 + _week(g, 50, time, 0.1) + 0.05 * g.normal(size=(50, 250)))
    return _task("shifts", table, "D", 7, 28, 14)


def walk(draw: int) -> Task:
    """Random walks, as prices are."""
    g, level, _ = _made("walk", draw, 50, 250)
    return _task("walk", level * np.exp(np.cumsum(g.normal(0, 0.02, (50, 250)), axis=1)), "D", 1, 28, 14)


def yearly(draw: int) -> Task:
    """A wave a year, seen less than twice, with a week."""
    g, level, time = _made("yearly", draw, 40, 640)
    wave = g.uniform(0.2, 0.5, (40, 1)) * np.sin(2 * np.pi * (time + g.integers(366)) / 365.25)
    table = level * (1 + wave + _week(g, 40, time, 0.1) + 0.06 * g.normal(size=(40, 640)))
    return _task("yearly", table, "D", 7, 30, 30)


def no_year(draw: int) -> Task:
    """As long as `yearly`, with a drift that is common in part: what is seen once need not come again."""
    g, level, time = _made("no year", draw, 40, 640)
    drift = np.cumsum(g.normal(0, 0.01, 640)) + 0.5 * np.cumsum(g.normal(0, 0.01, (40, 640)), axis=1)
    table = level * np.exp(drift) * (1 + _week(g, 40, time, 0.1) + 0.06 * g.normal(size=(40, 640)))
    return _task("no year", table, "D", 7, 30, 30)


def pay_days(draw: int) -> Task:
    """Peaks about the first and the fifteenth of the month, in 83 days, 55 of them to learn from."""
    g, level, time = _made("pay days", draw, 60, 83)
    date = np.datetime64("2000-01-01") + time
    day = (date - date.astype("M8[M]").astype("M8[D]")).astype(int)
    table = 1 + g.uniform(0.5, 1.5, (60, 1)) * ((day < 3) | (abs(day - 15) < 2)) + _week(g, 60, time, 0.1)
    return _task("pay days", level * (table + 0.15 * g.normal(size=(60, 83))), "D", 7, 21, 28)


def weeks(draw: int) -> Task:
    """A week alone, in 64 days: the day of the month is seen less than twice, and means nothing."""
    g, level, time = _made("weeks", draw, 60, 64)
    table = level * (1 + _week(g, 60, time, 0.2) + 0.1 * g.normal(size=(60, 64)))
    return _task("weeks", table, "D", 7, 14, 14)


def young(draw: int) -> Task:
    """Series that begin one after the other, 30 to 250 points long, and rise as they begin."""
    g, level, time = _made("young", draw, 60, 250)
    table = level * (1 - 0.7 * np.exp(-time / 30)) * (1 + _week(g, 60, time, 0.15))
    table *= 1 + 0.08 * g.normal(size=(60, 250))
    lengths = g.integers(44, 250, 60)
    return _task("young", [row[:length] for row, length in zip(table, lengths, strict=True)], "D", 7, 28, 14)


def nab(draw: int) -> Task:
    """The hourly means of NAB's series that run long enough: taxis, traffic, machines."""
    rows = []
    with zipfile.ZipFile(DATA / "nab" / "series.zip") as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".csv") or name.startswith("art"):
                continue
            cells = list(csv.reader(io.StringIO(archive.read(name).decode())))[1:]
            hours = np.array([cell[0][:13].replace(" ", "T") for cell in cells], "M8[h]").astype(int)
            hours -= hours[0]
            values = np.array([float(cell[1]) for cell in cells])
            counts = np.bincount(hours)
            filled = np.flatnonzero(counts)
            mean = np.bincount(hours, values)[filled] / counts[filled]
            if len(mean) >= 250:
                rows.append(mean[-500:] - (mean.min() if mean.min() < 0 else 0))
    task = _task("nab", rows, "H", 24, 48, 24)
    return task if draw else task.held_out()


def exchange(draw: int) -> Task:
    task = exchange_rate(DATA)
    return task if draw else task.held_out()


def m4(draw: int) -> Task:
    """Every fifth series."""
    task = m4_hourly(DATA)
    task = replace(task, train=task.train[::5], truth=task.truth[::5])
    return task if draw else task.held_out()


def aws(draw: int) -> Task:
    """The example of AWS's notebook, which is of numpy's seed 1."""
    return awss_example(1 if draw else 2)


KINDS = {
    "daily": Kind(daily),
    "growth": Kind(growth),
    "spikes": Kind(spikes),
    "zero mean": Kind(zero_mean),
    "intermittent": Kind(intermittent, hyperparameters={"likelihood": "negative-binomial"}),
    "shifts": Kind(shifts),
    "walk": Kind(walk),
    "yearly": Kind(yearly, 400),
    "no year": Kind(no_year, 400),
    "pay days": Kind(pay_days),
    "weeks": Kind(weeks),
    "young": Kind(young),
    "aws": Kind(aws, 210, {"num_layers": 3, "likelihood": "gaussian", "dropout_rate": 0.05}),
    "exchange": Kind(exchange, 200),
    "m4": Kind(m4, 200),
    "nab": Kind(nab, 200),
}


@contextlib.contextmanager
def without(addition: str) -> Iterator[None]:
    """Learn without it, inside ("": with all)."""
    from optml.algorithms.forecasting_deepar import autoregression, settings
    from optml.algorithms.kernels import forecast

    owner, name, value = {
        "": (settings, "SLOW_FACTOR", settings.SLOW_FACTOR),
        "damping": (settings, "SLOW_FACTOR", 1.0),
        "linear start": (autoregression, "fit", lambda *unused: None),
        "whitening": (settings, "WHITENING_FLOOR", 1e9),
        "rare lags left out": (settings, "RARE_LAG", 0.0),
        "early weights": (settings, "EARLY_WEIGHT", 1.0),
        "spared unit": (settings, "UNZONED_UNITS", slice(0)),
        "cooling": (settings, "COOLDOWN", 1e-9),
        "running mean": (settings, "EMA_RATE", 1.0),
        "mirrored paths": (forecast, "SYMMETRIC", ()),
    }[addition]
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


ADDITIONS = (
    "damping", "linear start", "whitening", "rare lags left out", "early weights",
    "spared unit", "cooling", "running mean", "mirrored paths",
)  # fmt: skip


def score(kind: Kind, task: Task, seed: int) -> dict[str, float]:
    """As `quality` has it, and how far the worst decile is off in calibration."""
    paths, *_ = ours(task, kind.updates, seed, **{"num_cells": CELLS, **kind.hyperparameters})
    below = [(task.truth < np.quantile(paths, q, axis=1)).mean() for q in QUANTILES]
    return quality(task, paths) | {"calibration": float(np.abs(np.array(below) - QUANTILES).max())}


def compared(name: str, draw: int, additions: list[str], seeds: int) -> list[dict[str, Any]]:
    """One row for all additions together, and one for each left out."""
    task, rows = KINDS[name].make(draw), []
    with_all: list[dict[str, float]] = []
    for addition in ["", *additions]:
        with without(addition):
            scores = [score(KINDS[name], task, seed) for seed in range(1, seeds + 1)]
        with_all = with_all or scores
        wql = np.array([[one["mean_wql"] for one in runs] for runs in (scores, with_all)])
        gains = np.log(wql[0] / wql[1])
        row: dict[str, Any] = {"kind": name, "draw": draw, "without": addition, "seeds": seeds}
        row |= {key: float(np.mean([one[key] for one in scores])) for key in scores[0]}
        row |= {"gain": float(gains.mean()), "error": float(gains.std(ddof=1) / np.sqrt(seeds))}
        rows.append(row)
        print(f"{name:13} {addition:15} wQL {row['mean_wql']:.4f}  gain {row['gain']:.4f}", flush=True)
    return rows


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--draw", type=int, default=0, choices=(0, 1))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--without", nargs="*", default=list(ADDITIONS), choices=ADDITIONS)
    given = parser.parse_args()
    rows = [row for kind in given.kinds for row in compared(kind, given.draw, given.without, given.seeds)]
    print(f"written: {save(f'forecasting_deepar_kinds-draw{given.draw}', rows, folder=given.out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
