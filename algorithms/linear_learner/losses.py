"""The nine losses: values and gradients in plain float64, for metrics and as the kernels' reference.

    logistic                      log(1 + exp(z)) - y z                          y in {0, 1}
    hinge_loss (m)                y max(0, (m+1)/2 - z) + (1-y) max(0, (m-1)/2 + z)
    softmax_loss                  -log softmax(z)_y                              y in {0, ..., C-1}
    squared_loss                  e^2                                            e = z - y from here on
    absolute_loss                 |e|
    quantile_loss (q)             q max(0, -e) + (1-q) max(0, e)
    huber_loss (d)                e^2 / 2 where |e| < d, else d |e| - d^2 / 2
    eps_insensitive_squared_loss (t)    max(0, e^2 - t^2)
    eps_insensitive_absolute_loss (t)   max(0, |e| - t)

Classes may have weights, which multiply value and gradient of their rows. Hinge is the usual one for labels
-1 and 1 and scores 2 z - 1, halved: its boundary lies at z = 0.5. At kinks the gradient is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters

# What stands before `_objective` in log lines; the first, third and fourth were seen in logs of AWS's image.
OBJECTIVES = {
    "logistic": "binary_classification_cross_entropy",
    "hinge_loss": "hinge_loss",
    "softmax_loss": "multiclass_cross_entropy",
    "squared_loss": "mse",
    "absolute_loss": "absolute_loss",
    "quantile_loss": "quantile_loss",
    "huber_loss": "huber_loss",
    "eps_insensitive_squared_loss": "eps_insensitive_squared_loss",
    "eps_insensitive_absolute_loss": "eps_insensitive_absolute_loss",
}
CLASSIFYING = ("logistic", "hinge_loss", "softmax_loss")


@dataclass(frozen=True, slots=True)
class Loss:
    """One of the nine. parameter: m, q, d or t of the table above; 0 for the others."""

    name: str
    parameter: float = 0.0

    @classmethod
    def of(cls, hyperparameters: Hyperparameters) -> Loss:
        """The loss that the hyperparameters choose, in units of the training label."""
        name = hyperparameters.chosen_loss
        parameter = {
            "hinge_loss": hyperparameters.margin,
            "quantile_loss": hyperparameters.quantile,
            "huber_loss": hyperparameters.huber_delta,
            "eps_insensitive_squared_loss": hyperparameters.loss_insensitivity,
            "eps_insensitive_absolute_loss": hyperparameters.loss_insensitivity,
        }
        return cls(name, parameter.get(name, 0.0))

    @property
    def token(self) -> str:
        """What stands before `_objective` in log lines."""
        return OBJECTIVES[self.name]

    def in_units_of(self, unit: float) -> Loss:
        """The same loss where errors are `unit` times as large: huber's d and eps-insensitive's t grow."""
        if self.name.startswith(("huber", "eps_insensitive")):
            return replace(self, parameter=self.parameter * unit)
        return self

    def value(self, z: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Loss of every row under every model: (n, M) float64.

        z: (n, M, C) scores of M models.   y: (n,) labels.   weights: (classes, M), or (classes, 1), of each
        class, or None for 1.
        """
        z = z.astype(np.float64)
        if self.name == "softmax_loss":
            of_label = np.take_along_axis(z, y.astype(np.intp)[:, None, None], axis=2)[:, :, 0]
            by_class = np.ascontiguousarray(z.transpose(2, 0, 1))  # a short last axis is summed slowly
            top = by_class.max(axis=0)
            values = np.log(np.exp(by_class - top).sum(axis=0)) + top - of_label
        else:
            values = self._of_one_score(z[:, :, 0], y[:, None].astype(np.float64))
        return values if weights is None else np.asarray(values * weights[y.astype(np.intp)])

    def gradient(self, z: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Gradient of `value` with respect to the scores: (n, M, C) float64."""
        z = z.astype(np.float64)
        if self.name == "softmax_loss":
            powers = np.exp(z - z.max(axis=2, keepdims=True))
            slopes = powers / powers.sum(axis=2, keepdims=True)
            slopes[np.arange(len(y)), :, y.astype(np.intp)] -= 1
        else:
            slopes = self._slope_of_one_score(z[:, :, 0], y[:, None].astype(np.float64))[:, :, None]
        return slopes if weights is None else np.asarray(slopes * weights[y.astype(np.intp)][:, :, None])

    def _of_one_score(self, z: np.ndarray, y: np.ndarray) -> Any:
        e, p = z - y, self.parameter
        size = np.abs(e)
        match self.name:
            case "logistic":
                return np.logaddexp(0, z) - y * z
            case "hinge_loss":
                return y * np.maximum(0, (p + 1) / 2 - z) + (1 - y) * np.maximum(0, (p - 1) / 2 + z)
            case "squared_loss":
                return e * e
            case "absolute_loss":
                return size
            case "quantile_loss":
                return p * np.maximum(0, -e) + (1 - p) * np.maximum(0, e)
            case "huber_loss":
                return np.where(size < p, e * e / 2, p * size - p * p / 2)
            case "eps_insensitive_squared_loss":
                return np.maximum(0, e * e - p * p)
            case _:
                return np.maximum(0, size - p)

    def _slope_of_one_score(self, z: np.ndarray, y: np.ndarray) -> Any:
        e, p = z - y, self.parameter
        outside = np.abs(e) > p
        match self.name:
            case "logistic":
                small = np.exp(-np.abs(z))
                return np.where(z >= 0, 1, small) / (1 + small) - y
            case "hinge_loss":
                return (1 - y) * (z > (1 - p) / 2) - y * (z < (1 + p) / 2)
            case "squared_loss":
                return 2 * e
            case "absolute_loss":
                return np.sign(e)
            case "quantile_loss":
                return np.where(e > 0, 1 - p, np.where(e < 0, -p, 0))
            case "huber_loss":
                return np.clip(e, -p, p)
            case "eps_insensitive_squared_loss":
                return np.where(outside, 2 * e, 0)
            case _:
                return np.where(outside, np.sign(e), 0)
