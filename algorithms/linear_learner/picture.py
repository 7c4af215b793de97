"""A picture of a linear model's answers and weights, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import charts
from optml.algorithms.linear_learner.model import Model
from optml.formats.records import Records


def draw(model: Model, batch: Records, path: Path) -> str:
    """Draw answers against labels (confusion and calibration, or residuals) where the records have labels,
    else the answers; and the largest weights; as a PNG. Returns what to say of it."""
    answers = model.predict(batch, {})
    truth = charts.labels_of(batch)
    score = answers["score"].astype(np.float64)
    title = f"Linear Learner: a {model.predictor_type} of {model.width:,} features ({model.loss})"
    with charts.sheet(path, title, columns=2 if truth is None else 3, size=(13, 4.6)) as axes:
        *left, right = axes[0]
        if truth is None:
            sentence = f"answers to {len(batch):,} records"
            if model.predictor_type == "multiclass_classifier":
                charts.frequencies(left[0], answers["predicted_label"], "Answers")
            else:
                charts.histogram(left[0], score, "Scores", "score")
        elif model.predictor_type == "regressor":
            sentence = charts.regression(left, truth, score)
        elif model.predictor_type == "binary_classifier":
            sentence = charts.binary(left, truth, answers["predicted_label"], score)
            if model.loss == "logistic":
                text = f"threshold {model.threshold:.3g}"
                left[1].axvline(model.threshold, color=charts.RED, linewidth=1, linestyle=":", label=text)
                left[1].legend(frameon=False, loc="lower right")
        else:
            sentence = charts.confusion(left[0], truth, answers["predicted_label"])
            hit = truth == answers["predicted_label"]
            charts.calibration(left[1], score.max(axis=1), hit, "probability of the answer")
        _weights(right, model)
    return sentence


def _weights(axis: Any, model: Model) -> None:
    if len(model.weight) == 1:
        charts.largest(axis, model.weight[0], "The largest weights", "weight, of the feature as it is")
    else:
        lengths = np.linalg.norm(model.weight, axis=0)
        charts.largest(axis, lengths, "The largest weights", "length of the weights of all classes")
