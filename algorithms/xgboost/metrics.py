"""The metrics that AWS's container computes beside the library's, always of the final predictions.

They are functions of counts and sums that add up over hosts, so several hosts print what one would. The
definitions are scikit-learn's; a ratio whose denominator is 0 is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from optml.algorithms.xgboost.names import CLASSIFICATION


def classes(predictions: np.ndarray, objective: str) -> np.ndarray:
    """(n,) int64 classes of final predictions: the largest of a row (n, k), the index itself of
    multi:softmax, else probability > 0.5 or, of binary:logitraw, margin > 0."""
    if predictions.ndim > 1:
        largest: np.ndarray = predictions.argmax(axis=1)
        return largest
    if objective == "multi:softmax":
        return predictions.astype(np.int64)
    return (predictions > (0.0 if objective == "binary:logitraw" else 0.5)).astype(np.int64)


def confusion(labels: np.ndarray, answers: np.ndarray, count: int) -> np.ndarray:
    """(count, count) float64: how many rows of class i (first index) were predicted as j."""
    cells = np.bincount(labels.astype(np.int64) * count + answers, minlength=count * count)
    return cells.reshape(count, count).astype(np.float64)


def of_confusion(name: str, matrix: np.ndarray) -> float:
    """A metric of classes."""
    hits, real, claims = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    present = (real + claims) > 0
    precision, recall = _ratio(hits, claims), _ratio(hits, real)
    f1 = _ratio(2 * hits, real + claims)
    if name in ("accuracy", "precision_micro", "recall_micro"):  # the same where every row has one class
        return float(_ratio(hits.sum(), matrix.sum()))
    if name == "balanced_accuracy":
        return _mean(recall[real > 0])
    if name in ("f1", "f1_macro"):
        return _mean(f1[present])
    if name.endswith("_macro"):
        return _mean((precision if name == "precision_macro" else recall)[present])
    return float({"f1_binary": f1, "precision": precision, "recall": recall}[name][1])


def sums(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """(5,) float64: n, labels, their squares, squared errors, absolute errors."""
    labels, errors = labels.astype(np.float64), labels.astype(np.float64) - predictions
    return np.array(
        [len(labels), labels.sum(), np.square(labels).sum(), np.square(errors).sum(), np.abs(errors).sum()]
    )


def of_sums(name: str, values: np.ndarray) -> float:
    """A metric of numbers: mse, rmse, mae, r2."""
    n, total, squares, squared, absolute = values.tolist()
    if name == "r2":
        spread = squares - total * total / n if n else 0.0
        return 1 - squared / spread if spread else float(squared == 0)
    if name == "mae":
        return absolute / n if n else 0.0
    mean = squared / n if n else 0.0
    return float(np.sqrt(mean)) if name == "rmse" else mean


def function(
    names: Sequence[str], objective: str, num_class: int | None, total: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray, Any], list[tuple[str, float]]] | None:
    """The library's `custom_metric`: (final predictions, DMatrix) -> values by name; None without names.

    total: adds an array up over all processes.
    """
    if not names:
        return None
    count = num_class if num_class and objective.startswith("multi:") else 2

    def measure(predictions: np.ndarray, matrix: Any) -> list[tuple[str, float]]:
        labels = matrix.get_label()
        numeric = predictions
        table = None
        if count > 2 or objective.startswith("multi:") or CLASSIFICATION & set(names):
            answers = classes(predictions, objective)
            table = total(confusion(labels, answers, count))
            numeric = answers if objective.startswith("multi:") else predictions
        totals = total(sums(labels, numeric))
        return [
            (
                name,
                of_confusion(name, table)
                if name in CLASSIFICATION and table is not None
                else of_sums(name, totals),
            )
            for name in names
        ]

    return measure


def _ratio(above: Any, below: Any) -> Any:
    return np.divide(
        above, below, out=np.zeros_like(np.asarray(above, np.float64)), where=np.asarray(below) != 0
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
