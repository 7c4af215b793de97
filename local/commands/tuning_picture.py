"""A tuning job, drawn: the objective over the trials, and the trials as lines across the hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts
from optml.local.tuning.definition import Definition
from optml.local.tuning.ranges import Categorical
from optml.local.tuning.trials import Trial

QUANTILES = (0.02, 0.75)  # of the losses: outside of them the height of the chart does not follow


def draw(definition: Definition, trials: Sequence[Trial], path: Path) -> None:
    """Write the picture as a PNG. There must be a trial with a value."""
    scored = sorted((trial for trial in trials if trial.value is not None), key=lambda trial: trial.number)
    objective = definition.objective
    values = np.array([trial.value for trial in scored], np.float64)
    width = max(9.0, 1.1 * (len(definition.ranges) + 1))
    title = f"{objective.metric} of {len(scored)} trials"
    with charts.sheet(path, title, rows=2, size=(width, 8.5)) as axes:
        _over_time(axes[0, 0], definition, scored, values)
        _parallel(axes[1, 0], definition, scored, values)


def _over_time(axis: Any, definition: Definition, trials: Sequence[Trial], values: np.ndarray) -> None:
    objective = definition.objective
    numbers = np.array([trial.number for trial in trials])
    stopped = np.array([trial.status == "Stopped" for trial in trials])
    axis.plot(numbers[~stopped], values[~stopped], "o", color=charts.BLUE, markersize=5, label="trial")
    if stopped.any():
        axis.plot(numbers[stopped], values[stopped], "x", color=charts.MUTED, label="stopped early")
    best = (np.maximum if objective.maximize else np.minimum).accumulate(values)
    axis.step(numbers, best, where="post", color=charts.RED, label="best so far")
    # A few trials that went astray would press all others into a line.
    low, high = np.quantile(values, QUANTILES if not objective.maximize else [1 - q for q in QUANTILES[::-1]])
    margin = 0.15 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = (
        min(best.min(), low) - margin,
        max(best.max() if objective.maximize else low, high) + 2 * margin,
    )
    axis.set_ylim(low, high)
    outside = int(((values < low) | (values > high)).sum())
    axis.set_title("Objective over the trials" + (f" ({outside} beyond the edge)" if outside else ""))
    axis.set_xlabel("trial")
    axis.set_ylabel(objective.metric)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False)


def _parallel(axis: Any, definition: Definition, trials: Sequence[Trial], values: np.ndarray) -> None:
    """Each trial a line through its places on the hyperparameters' scales; good ones are dark and on top."""
    from matplotlib import colormaps

    spans = definition.ranges
    places = np.array(
        [[span.unit(trial.parameters[span.name]) or 0.0 for span in spans] for trial in trials], np.float64
    )
    losses = np.array([definition.objective.loss(value) for value in values])
    ranks = losses.argsort(kind="stable").argsort(kind="stable") / max(1, len(losses) - 1)  # 0: the best
    grounds = np.arange(len(spans) + 1)
    colors = colormaps["viridis"]
    for number in np.argsort(-ranks):
        ends = [*places[number], 1 - ranks[number]]
        best = ranks[number] == 0
        axis.plot(
            grounds,
            ends,
            color=charts.RED if best else colors(float(ranks[number])),
            alpha=1.0 if best else 0.75 - 0.5 * float(ranks[number]),
            linewidth=2.2 if best else 1.0,
        )
    for ground, span in enumerate(spans):
        axis.axvline(ground, color=charts.MUTED, linewidth=0.8)
        for unit, text in _marks(span):
            axis.annotate(
                text, (ground, unit), (3, 0), textcoords="offset points", fontsize=8, va="center",
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
            )  # fmt: skip
    axis.axvline(len(spans), color=charts.MUTED, linewidth=0.8)
    axis.set_xticks(grounds, [*charts.shortened([span.name for span in spans]), "rank"], rotation=20)
    axis.set_yticks([])
    axis.set_ylim(-0.04, 1.04)
    axis.set_xlim(-0.1, len(spans) + 0.1)
    axis.set_title("Hyperparameters of the trials, the best red; its end at the right is on top")


def _marks(span: Any) -> list[tuple[float, str]]:
    """Places along a scale, and what they stand for."""
    if isinstance(span, Categorical):
        return [(span.unit(value) or 0.0, value) for value in span.values]
    units = (0.0, 0.25, 0.5, 0.75, 1.0)
    return [(unit, f"{float(span.at(unit)):.3g}") for unit in units]
