"""Steps of linear models for tests, and what they must come to in plain float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optml.algorithms.kernels.linear import reference_update
from optml.algorithms.kernels.linear.terms import MOMENTS, Problem, Update
from optml.algorithms.linear_learner.losses import CLASSIFYING, Loss


@dataclass(frozen=True)
class Case:
    rows: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    problem: Problem


def case(loss: str, *, rows: int, features: int, models: int, seed: int = 0, far: float = 1.0) -> Case:
    """Random rows, three quarters of them zeros, of features `far` standard deviations from 0 or so."""
    rng = np.random.default_rng(seed)
    classes = 5 if loss == "softmax_loss" else 1
    labels = {"softmax_loss": 5, "logistic": 2, "hinge_loss": 2}.get(loss, 1)
    values = rng.normal(size=(rows, features)) * (rng.random((rows, features)) < 0.25)
    weights = rng.normal(size=(features + 1, models * classes)) * 0.3
    class_weights = rng.uniform(0.5, 2, (labels, models)) if labels > 1 else np.ones((1, models))
    y = rng.integers(labels, size=rows) if loss in CLASSIFYING else rng.normal(size=rows)
    problem = Problem(
        loss,
        0.4,
        models,
        classes,
        class_weights.astype(np.float32),
        (far * rng.normal(size=features)).astype(np.float32),
        rng.uniform(0.5, 2, features).astype(np.float32),
        np.zeros(features, bool),
    )
    return Case(values.astype(np.float32), y.astype(np.float32), weights.astype(np.float32), problem)


def expected(case_of: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient, losses and scores in float64."""
    problem = case_of.problem
    rows = (case_of.rows.astype(np.float64) - problem.shift) * problem.scale
    z = rows @ case_of.weights[:-1] + case_of.weights[-1].astype(np.float64)
    by_model = z.reshape(len(z), problem.models, problem.classes)
    loss = Loss(problem.loss, problem.parameter)
    weights = problem.class_weights if len(problem.class_weights) > 1 else None
    slopes = loss.gradient(by_model, case_of.labels, weights).reshape(z.shape)
    losses = loss.value(by_model, case_of.labels, weights).sum(axis=0)
    return np.concatenate([rows.T @ slopes, slopes.sum(axis=0)[None]]), losses, z


def agree(case_of: Case, results: tuple[np.ndarray, ...]) -> None:
    """Within the rounding of float32 sums over so many rows."""
    for ours, theirs in zip(results, expected(case_of), strict=True):
        np.testing.assert_allclose(
            ours, theirs, rtol=1e-4, atol=2e-5 * max(1.0, np.abs(theirs).max(initial=0))
        )


def agree_on_updates(update: Callable[..., None], optimizer: str, *, use_bias: bool) -> None:
    """Three updates of 7 x 5 weights, against NumPy in float64."""
    rng = np.random.default_rng(1)
    columns = [rng.uniform(0.01, 0.3, 5).astype(np.float32) for _ in range(5)]
    columns[2][:2] = 0  # no L1 penalty
    how = Update(optimizer, *columns, first=0.8, second=0.95)
    weights = rng.normal(size=(7, 5)).astype(np.float32)
    moments = tuple(np.zeros((7, 5), np.float32) for _ in range(MOMENTS[optimizer]))
    exact: list[Any] = [weights.astype(np.float64), tuple(m.astype(np.float64) for m in moments)]
    for _ in range(3):
        gradients = (rng.normal(size=(7, 5)) * 10).astype(np.float32)
        update(weights, moments, gradients, 0.1, use_bias, how)
        reference_update(*exact, gradients.astype(np.float64), 0.1, use_bias, how)
        np.testing.assert_allclose(weights, exact[0], rtol=1e-4, atol=1e-5)
    for moment, theirs in zip(moments, exact[1], strict=True):
        np.testing.assert_allclose(moment[:-1], theirs[:-1], rtol=1e-4, atol=1e-5)
