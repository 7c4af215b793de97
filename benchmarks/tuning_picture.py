"""The picture of the tuning benchmark: regret over the jobs, a chart a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts

MINIMA = {"branin": 0.397887, "hartmann6": -3.32237}
COLUMNS = 4


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    problems = list(dict.fromkeys(row["problem"] for row in rows if "curves" in row))
    lines = -(-len(problems) // COLUMNS)
    title = "Regret over the jobs, medians of ten seeds"
    with charts.sheet(path, title, rows=lines, columns=COLUMNS, size=(14, 3.4 * lines)) as axes:
        for axis in axes.flat[len(problems) :]:
            axis.set_visible(False)
        for axis, problem in zip(axes.flat, problems, strict=False):
            for number, row in enumerate(row for row in rows if row["problem"] == problem):
                least = row.get("reference", MINIMA.get(problem, 0.0))
                regret = np.median(np.array(row["curves"]), axis=0) - least
                places = np.arange(1, len(regret) + 1)
                axis.plot(places, np.maximum(regret, 1e-6), color=charts.CYCLE[number], label=row["search"])
            axis.set_yscale("log")
            axis.set_title(problem)
            axis.set_xlabel("jobs")
        axes.flat[0].legend(frameon=False, fontsize=8)
