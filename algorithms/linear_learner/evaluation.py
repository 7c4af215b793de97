"""Scores of a channel's rows: by all models side by side, to choose one, and by the final one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.model import Model
from optml.algorithms.linear_learner.scores import MOST_SCORES, Scores
from optml.algorithms.linear_learner.stack import Stack
from optml.formats.records import Records

BYTES = 32 << 20  # of all models' scores of the rows that are scored at a time

Labelled = tuple[Records, np.ndarray]  # rows and their labels (n,)


def score_all(
    stack: Stack,
    batches: Iterable[Labelled],
    hyperparameters: Hyperparameters,
    *,
    label: tuple[float, float],
    seed: int,
) -> tuple[Scores, np.ndarray]:
    """Scores of all models on this host's batches, and the sums (M,) of a regressor's errors.

    label: what was subtracted from the labels in training, and what they were divided by then.
    """
    shift, scale = label
    scores = Scores(
        hyperparameters, stack.models, stack.classes, weights=stack.class_weights, unit=scale, seed=seed
    )
    errors = np.zeros(stack.models)
    for batch, y in _pieces(batches, stack):
        z = stack.scores(batch.features)
        if hyperparameters.predictor_type == "regressor":
            z = z * np.float32(scale) + np.float32(shift)
            errors += (z[:, :, 0] - y[:, None]).sum(axis=0)
        scores.add(z, y)
    return scores, errors


def score_final(
    model: Model,
    stack: Stack,
    batches: Iterable[Labelled],
    hyperparameters: Hyperparameters,
    *,
    weights: np.ndarray | None,
    unit: float,
    seed: int,
) -> Scores:
    """Scores of the final model on this host's batches. weights, unit: as `Scores` takes them."""
    classes = hyperparameters.outputs
    size = max(hyperparameters.calibration_rows, MOST_SCORES)
    scores = Scores(hyperparameters, 1, classes, weights=weights, unit=unit, sample_size=size, seed=seed)
    for batch, y in _pieces(batches, stack):
        scores.add(model.raw(batch.features).reshape(-1, 1, classes), y)
    return scores


def _pieces(batches: Iterable[Labelled], stack: Stack) -> Iterator[Labelled]:
    """So few rows at a time that their scores take BYTES at most."""
    size = max(1, BYTES // (4 * stack.models * stack.classes))
    for batch, y in batches:
        for start in range(0, len(batch), size):
            yield batch[start : start + size], y[start : start + size]
