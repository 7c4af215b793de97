"""A picture of principal components and the variance that they hold, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts
from optml.algorithms.pca.model import Model
from optml.formats.records import Records

COMPONENTS = 30  # most in the plot of variance
DIRECTIONS = 8  # most in the plot of directions
FEATURES = 100


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw the share of variance of each component, rows in the plane of the leading two, and the components
    by feature, as a PNG. Returns what to say of it.

    Shares are those of training where the model tells its total variance, else of the rows that are drawn.
    """
    rows = batch.features
    projections = model.project(rows)[:, ::-1]  # the leading component first
    squares = np.square(np.nan_to_num(model.s[::-1].astype(np.float64)))
    total, whose = model.total_variance, "the training rows"
    if not total:
        dense = batch.dense().astype(np.float64)
        total = float(np.square(dense - (0 if model.mean is None else model.mean)).sum())
        squares, whose = np.square(projections.astype(np.float64)).sum(axis=0), "these rows"
    shares = squares / total if total > 0 else np.zeros(len(squares))
    count = f"{len(squares):,} component{'s' * (len(squares) != 1)}"
    title = f"PCA: {count} of {model.width:,} features, {shares.sum():.1%} of variance"
    with charts.sheet(path, title, rows=2, columns=2, size=(12, 8)) as axes:
        _variance(axes[0, 0], shares[:COMPONENTS], whose)
        _rows(axes[0, 1], projections, shares)
        directions = model.v[:, ::-1].T  # (r, d)
        charts.largest(
            axes[1, 0], directions[0], "The leading component: its largest weights", "weight in the component"
        )
        _directions(axes[1, 1], directions[:DIRECTIONS])
    return f"{count}, {shares.sum():.1%} of the variance of {whose}"


def _variance(axis: Any, shares: np.ndarray, whose: str) -> None:
    places = np.arange(1, len(shares) + 1)
    axis.bar(places, shares, color=charts.BLUE, label="of the component")
    axis.plot(places, np.cumsum(shares), "o-", color=charts.CYCLE[1], markersize=4, label="up to it")
    axis.set_ylim(0, 1.05 * max(float(shares.sum()), 1e-9))
    axis.yaxis.set_major_formatter(lambda value, place: f"{value:.0%}")
    axis.set_xlim(0.4, max(len(shares), 5) + 0.6)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("component")
    axis.set_ylabel("share of variance")
    axis.legend(frameon=False, loc="center right")
    axis.set_title(f"Variance of {whose}")


def _rows(axis: Any, projections: np.ndarray, shares: np.ndarray) -> None:
    points = projections[charts.sample(len(projections))]
    if points.shape[1] == 1:
        charts.histogram(axis, points[:, 0], "Rows along the component", "projection")
        return
    charts.points(axis, points[:, 0], points[:, 1])
    axis.set_xlabel(f"component 1 ({shares[0]:.1%} of variance)")
    axis.set_ylabel(f"component 2 ({shares[1]:.1%})")
    axis.set_title("Rows in the plane of the leading two")


def _directions(axis: Any, directions: np.ndarray) -> None:
    label = "feature"
    if directions.shape[1] > FEATURES:
        heavy = np.sort(np.argsort(-np.abs(directions).max(axis=0), kind="stable")[:FEATURES])
        directions = directions[:, heavy]
        label = f"the {FEATURES} features that weigh most, from {heavy[0]} to {heavy[-1]}"
    charts.heat(axis, directions, "Components by feature", "weight")
    axis.set_yticks(np.arange(len(directions)), np.arange(1, len(directions) + 1))
    axis.set_xlabel(label)
    axis.set_ylabel("component")
