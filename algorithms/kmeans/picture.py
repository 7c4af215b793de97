"""A picture of clusters and their centroids, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts
from optml.algorithms.kmeans.model import Model
from optml.formats.records import Records

CENTROIDS = 30  # most in the plots
FEATURES = 100
PLANE = 500  # rows that the plane is laid through


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw rows and centroids in the plane of most variance, the sizes of the clusters, and the centroids by
    feature, as a PNG. Returns what to say of it."""
    rows = batch.dense()
    labels, distances = model.assign(rows)
    k, width = model.centers.shape
    title = f"K-Means: {len(rows):,} rows of {width:,} features in {k:,} clusters"
    with charts.sheet(path, title, rows=2, columns=2, size=(12, 8), width_ratios=(3, 2)) as axes:
        _clusters(axes[0, 0], model, rows, labels, distances)
        counts = np.bincount(labels, minlength=k)
        largest = np.argsort(-counts, kind="stable")[:CENTROIDS]
        sizes, spreads = axes[:, 1]
        text = "Sizes of the clusters" if k <= CENTROIDS else f"Sizes of the {CENTROIDS} largest clusters"
        charts.bars(sizes, largest.tolist(), counts[largest], text, "rows")
        means = np.bincount(labels, distances, minlength=k) / np.maximum(counts, 1)
        text = "Mean distance of their rows"
        charts.bars(spreads, largest.tolist(), means[largest], text, "Euclidean distance")
        for axis in (sizes, spreads):
            axis.set_ylabel("cluster")
            axis.tick_params(axis="y", labelsize=9 if len(largest) <= 15 else 7)
        _centroids(axes[1, 0], model, rows, np.sort(largest))
    return f"{len(rows):,} rows, mean distance to their centroids {distances.mean():.4g}"


def _clusters(axis: Any, model: Model, rows: np.ndarray, labels: np.ndarray, distances: np.ndarray) -> None:
    sample = charts.sample(len(rows))
    if rows.shape[1] > 1:
        mean = rows[sample].mean(axis=0)
        plane = np.linalg.svd(rows[charts.sample(len(rows), PLANE)] - mean, full_matrices=False)[2][:2]
        if len(plane) < 2:
            plane = np.eye(2, rows.shape[1], dtype=np.float32)
        points, centers = (rows[sample] - mean) @ plane.T, (model.centers - mean) @ plane.T
        axis.set_xlabel("direction of most variance")
        axis.set_ylabel("second direction")
        axis.set_title("Rows and centroids in the plane of most variance")
    else:
        points = np.stack([rows[sample, 0], distances[sample]], axis=1)
        centers = np.stack([model.centers[:, 0], np.zeros(len(model.centers))], axis=1)
        axis.set_xlabel("value")
        axis.set_ylabel("distance to the centroid")
        axis.set_title("Rows and centroids")
    colors = np.array(charts.CYCLE)[labels[sample] % len(charts.CYCLE)]
    axis.scatter(*points.T, c=colors, s=9, alpha=0.55, linewidths=0)
    few = len(centers) <= CENTROIDS
    axis.plot(*centers.T, "o", color="white", markeredgecolor="black", markersize=13 if few else 5)
    for number, (x, y) in enumerate(centers if few else ()):
        axis.text(x, y, str(number), ha="center", va="center", fontsize=8)


def _centroids(axis: Any, model: Model, rows: np.ndarray, which: np.ndarray) -> None:
    """The centroids by feature, in standard deviations of the rows from their mean."""
    spread = rows.std(axis=0)
    centers = (model.centers[which] - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
    width = centers.shape[1]
    title, label = "Centroids by feature", "feature"
    if width > FEATURES:
        columns = np.sort(np.argsort(-centers.std(axis=0), kind="stable")[:FEATURES])
        centers = centers[:, columns]
        title = f"Centroids by the {FEATURES} features that tell them apart best"
        label = f"place among these; the first is feature {columns[0]}, the last {columns[-1]}"
    charts.heat(axis, centers, title, "standard deviations from the mean")
    axis.set_xlabel(label)
    axis.set_yticks(np.arange(len(which)), which, fontsize=9 if len(which) <= 15 else 7)
    axis.set_ylabel("cluster")
