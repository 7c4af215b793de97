"""A picture of a series and its anomaly scores, for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms.random_cut_forest.evaluation import threshold
from optml.algorithms.random_cut_forest.model import Model

LINE, ALARM, MUTED = "#2f5d8a", "#c8352b", "#555555"


def draw(model: Model, rows: np.ndarray, path: Path) -> str:
    """Draw (n, d) rows in their order, below them their scores and the threshold, as a PNG.

    Where rows are windows of a series their last values are the series. Returns what to say of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scores = model.scores(rows)
    high = threshold(scores)
    found = scores > high
    places = np.arange(len(rows))
    with pyplot.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 10}):
        figure, (series, below) = pyplot.subplots(
            2, 1, figsize=(12, 6), sharex=True, height_ratios=(3, 2), layout="constrained"
        )
        series.plot(places, rows[:, -1], color=LINE, linewidth=0.7)
        series.plot(places[found], rows[found, -1], ".", color=ALARM, markersize=5)
        series.set_ylabel("value" if rows.shape[1] == 1 else f"last of {rows.shape[1]} values")
        series.set_title(
            f"Random Cut Forest: {found.sum():,} of {len(rows):,} rows stand out", loc="left", fontsize=12
        )
        below.fill_between(places, scores, color=LINE, alpha=0.25, linewidth=0)
        below.plot(places, scores, color=LINE, linewidth=0.7)
        below.vlines(places[found], high, scores[found], color=ALARM, linewidth=1)
        below.axhline(high, color=ALARM, linewidth=1, linestyle="--")
        below.set_title(f"mean + 3 standard deviations = {high:.2f}", loc="right", fontsize=10, color=ALARM)
        below.set_ylabel("anomaly score")
        below.set_xlabel("row")
        below.set_ylim(0, 1.08 * max(float(scores.max()), high))
        series.yaxis.set_major_formatter("{x:,.6g}")
        for axis in (series, below):
            axis.margins(x=0.005)
            axis.grid(axis="y", color="#dddddd", linewidth=0.6)
            axis.set_axisbelow(True)
            axis.tick_params(colors=MUTED)
        figure.savefig(path, dpi=120)
        pyplot.close(figure)
    return f"{found.sum()} of {len(rows)} rows score above {high:.3f}, mean + 3 standard deviations"
