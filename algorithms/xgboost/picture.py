"""A picture of what boosted trees answer, and of the features that they go by, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts
from optml.algorithms.xgboost.boosters import Native
from optml.algorithms.xgboost.model import Model
from optml.formats.records import Records


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw answers against labels (confusion and calibration, or residuals) where the records have labels,
    else the answers; and the importance of the features; as a PNG. Returns what to say of it.

    An answer in selectable inference is drawn as the plain score.
    """
    score = Model(model.members).predict(batch, {})["score"].astype(np.float64)
    truth = charts.labels_of(batch)
    objective = model.members[0].objective
    title = f"XGBoost: {objective}, {model.width:,} features"
    with charts.sheet(path, title, columns=2 if truth is None else 3, size=(13, 4.6)) as axes:
        *left, right = axes[0]
        sentence = _answers(left, truth, score, objective, len(batch))
        _importance(right, model)
    return sentence


def _answers(
    axes: Sequence[Any], truth: np.ndarray | None, score: np.ndarray, objective: str, count: int
) -> str:
    several = score.ndim == 2  # probabilities of classes
    classes = several or objective in ("multi:softmax", "binary:hinge")
    answers = score.argmax(axis=1).astype(np.float64) if several else score
    if truth is None:
        if classes:
            charts.frequencies(axes[0], answers, "Answers")
        else:
            charts.histogram(axes[0], score, "Scores", "score")
        return f"answers to {count:,} records"
    if classes:
        sentence = charts.confusion(axes[0], truth, answers)
        if several:
            charts.calibration(axes[1], score.max(axis=1), truth == answers, "probability of the answer")
        else:
            charts.frequencies(axes[1], answers, "Answers")
        return sentence
    if objective.startswith("binary:"):
        threshold = 0.5 if objective == "binary:logistic" else 0.0
        return charts.binary(axes, truth, (score > threshold).astype(np.float64), score)
    if objective.startswith("rank:"):
        return _ranking(axes, truth, score)
    return charts.regression(axes, truth, score)


def _ranking(axes: Sequence[Any], truth: np.ndarray, score: np.ndarray) -> str:
    """Scores have no unit: they are drawn by label."""
    labels = np.unique(truth)[: charts.CLASSES]
    axes[0].boxplot([score[truth == label] for label in labels], showfliers=False)
    axes[0].set_xticks(np.arange(1, len(labels) + 1), [f"{label:g}" for label in labels])
    axes[0].set_xlabel("label")
    axes[0].set_ylabel("score")
    axes[0].set_title("Scores by label")
    charts.histogram(axes[1], score, "Scores", "score")
    return f"scores of {len(score):,} records"


def _importance(axis: Any, model: Model) -> None:
    """What the splits at each feature have gained; not known of linear boosters and of very old files."""
    gains = np.zeros(model.width)
    for member in model.members:
        if isinstance(member, Native):
            gains += member.gains()
    if not gains.any():
        axis.set_axis_off()
        axis.set_title("No gains of splits are known of this model")
        return
    count = int(np.count_nonzero(gains))
    order = np.argsort(-gains, kind="stable")[: min(15, count)]
    names = [model.feature_names[place] if model.feature_names else f"feature {place}" for place in order]
    shares = gains[order] / gains.sum()
    charts.bars(axis, names, shares, f"What the splits gain, at {count:,} features", "share of the gain")
