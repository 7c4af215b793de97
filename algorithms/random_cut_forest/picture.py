"""A picture of a series and its anomaly scores, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms import charts
from optml.algorithms.charts import BLUE, RED
from optml.algorithms.random_cut_forest.evaluation import threshold
from optml.algorithms.random_cut_forest.model import Model
from optml.formats.records import Records


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw (n, d) rows in their order, below them their scores and the threshold, as a PNG.

    Where rows are windows of a series their last values are the series. Returns what to say of the picture.
    """
    rows = batch.dense()
    scores = model.scores(rows)
    high = threshold(scores)
    odd = scores > high
    places = np.arange(len(rows))
    title = f"Random Cut Forest: {odd.sum():,} of {len(rows):,} rows stand out"
    with charts.sheet(path, title, rows=2, size=(12, 6), sharex=True, height_ratios=(3, 2)) as axes:
        series, below = axes[:, 0]
        series.plot(places, rows[:, -1], color=BLUE, linewidth=0.7)
        series.plot(places[odd], rows[odd, -1], ".", color=RED, markersize=5)
        series.set_ylabel("value" if rows.shape[1] == 1 else f"last of {rows.shape[1]} values")
        below.fill_between(places, scores, color=BLUE, alpha=0.25, linewidth=0)
        below.plot(places, scores, color=BLUE, linewidth=0.7)
        below.vlines(places[odd], high, scores[odd], color=RED, linewidth=1)
        below.axhline(high, color=RED, linewidth=1, linestyle="--")
        below.set_title(f"mean + 3 standard deviations = {high:.2f}", loc="right", color=RED)
        below.set_ylabel("anomaly score")
        below.set_xlabel("row")
        below.set_ylim(0, 1.08 * max(float(scores.max()), high))
        series.yaxis.set_major_formatter("{x:,.6g}")
        for axis in (series, below):
            axis.margins(x=0.005)
    return f"{odd.sum()} of {len(rows)} rows score above {high:.3f}, mean + 3 standard deviations"
