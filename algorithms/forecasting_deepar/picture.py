"""A picture of forecasts, for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.charts import BLUE
from optml.algorithms.forecasting_deepar.model import Model, Request, quantiles
from optml.algorithms.forecasting_deepar.reading import read
from optml.algorithms.sources import Source
from optml.errors import UserError

MOST = 6  # series in one picture
SHOWN = 3  # horizons of the past that are shown
TRUTH = "#333333"
BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.35))  # quantiles from, to, and how dark


@dataclass(frozen=True, slots=True)
class Holdout:
    """Series without their last values, and these values, (n, p)."""

    request: Request
    truth: np.ndarray


def examples(source: Source, model: Model) -> Holdout:
    """The first series of a channel that are long enough, as a request for the last values of each. Raises
    UserError where none is."""
    series = read(source, model.parameters)
    horizon = model.shape.horizon
    long = np.flatnonzero(series.lengths > horizon)[:MOST]
    if not len(long):
        raise UserError(
            f"no series is longer than prediction_length={horizon}, so none can be held against a forecast"
        )
    history, truth = series.take(long).holdout(horizon)
    return Holdout(Request(history, 100, ("mean",), ()), truth)


def draw(model: Model, request: Request | Holdout, path: Path, truth: np.ndarray | None = None) -> str:
    """Draw the end of the first series and their forecasts as a PNG: the median, and the intervals that hold
    50 % and 90 % of the samples.

    truth: (n, p) what came, where that is known. Returns what to say of the picture.
    """
    if isinstance(request, Holdout):
        truth, request = request.truth, request.request
    from matplotlib import dates as calendar

    count = min(len(request), MOST)
    series = request.series.take(np.arange(count))
    paths = model.paths(series, max(request.samples, 100))
    horizon = model.shape.horizon
    columns = 1 if count < 3 else 2
    rows = -(-count // columns)
    title = f"DeepAR: {horizon} steps ahead, time_freq={model.parameters.time_freq}"
    with charts.sheet(path, title, rows=rows, columns=columns, size=(11, 1 + 2.3 * rows), dpi=80) as axes:
        for number, axis in enumerate(axes.flat):
            if number >= count:
                axis.set_visible(False)
                continue
            begin, length = int(series.bounds[number]), int(series.lengths[number])
            shown = min(length, SHOWN * horizon)
            past = series.target[begin + length - shown : begin + length]
            dates = _dates(model, int(series.starts[number]), np.arange(length - shown, length + horizon))
            ahead = dates[shown:]
            levels = [level for low, high, _ in BANDS for level in (low, high)]
            *bands, median = quantiles(paths[number : number + 1], [*levels, 0.5])[:, 0]
            for place, (low, high, dark) in enumerate(BANDS):
                label = f"{100 * (high - low):.0f} % interval"
                below, above = bands[2 * place : 2 * place + 2]
                axis.fill_between(ahead, below, above, color=BLUE, alpha=dark, linewidth=0, label=label)
            axis.plot(dates[:shown], past, color=TRUTH, linewidth=0.9, label="observed")
            if truth is not None:
                axis.plot(
                    ahead,
                    truth[number],
                    color=TRUTH,
                    linewidth=0.9,
                    linestyle=(0, (3, 1.5)),
                    label="what came",
                )
            axis.plot(ahead, median, color=BLUE, linewidth=1.4, label="median forecast")
            axis.axvline(ahead[0], color="#bbbbbb", linewidth=0.8, zorder=0)
            axis.yaxis.set_major_formatter("{x:,.6g}")
            axis.margins(x=0.01)
            locator = calendar.AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
            axis.xaxis.set_major_locator(locator)
            axis.xaxis.set_major_formatter(calendar.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes[0, 0].figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside lower right", ncols=5, frameon=False
        )
    more = f"the first {count} of {len(request)}" if count < len(request) else f"{count}"
    return f"forecasts of {more} series"


def _dates(model: Model, start: int, places: np.ndarray) -> np.ndarray:
    frequency = model.shape.frequency
    moments = start + frequency.step * places
    return moments.astype("M8[M]" if frequency.unit == "M" else "M8[m]").astype("M8[s]")
