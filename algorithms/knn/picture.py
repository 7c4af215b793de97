"""A picture of what neighbours answer, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts
from optml.algorithms.knn import vote
from optml.algorithms.knn.model import Model
from optml.formats.records import Records

QUERIES = 5000  # at most, that the picture answers


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw answers against labels (confusion and calibration of votes, or residuals) where the records have
    labels, else the answers; and the distances of the neighbours; as a PNG. Returns what to say of it."""
    batch = batch[:QUERIES]
    near = model.neighbours(batch.dense())
    answers = model.judge(near)
    truth = charts.labels_of(batch)
    classifies = model.settings.predictor_type == "classifier"
    k = near.labels.shape[1]
    title = f"KNN: {len(batch):,} rows by their {k} nearest of {len(model.labels):,} points"
    with charts.sheet(path, title, columns=2 if truth is None else 3, size=(13, 4.6)) as axes:
        *left, right = axes[0]
        if truth is None:
            if classifies:
                charts.frequencies(left[0], answers, "Answers")
            else:
                charts.histogram(left[0], answers, "Answers", "answer")
            summary = f"answers to {len(batch):,} records"
        elif classifies:
            summary = charts.confusion(left[0], truth, answers)
            votes = np.asarray(vote.shares(near.labels, near.there)[1])[:, 0]
            charts.calibration(left[1], votes, truth == answers, "share of votes for the answer")
        else:
            summary = charts.regression(left, truth, answers)
        _distances(right, near.distances, near.there)
    return summary


def _distances(axis: Any, distances: np.ndarray, there: np.ndarray) -> None:
    """The distances of the first, the middle and the last neighbour."""
    k = distances.shape[1]
    edges = np.histogram_bin_edges(distances[there], bins=40)
    for number, place in enumerate(sorted({0, (k - 1) // 2, k - 1})):
        some = distances[there[:, place], place]
        color, style = charts.CYCLE[number], ("-", "--", ":")[number]
        axis.hist(some, bins=edges, histtype="step", color=color, linestyle=style, linewidth=1.6,
                  label=f"neighbour {place + 1}")  # fmt: skip
    axis.set_xlabel("distance, as it is answered")
    axis.set_ylabel("records")
    axis.legend(frameon=False)
    axis.set_title("How far the neighbours are")
