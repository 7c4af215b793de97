"""Labels as the predictor expects them, or a message that says which one is not and why."""

from __future__ import annotations

import logging

import numpy as np

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.errors import UserError
from optml.formats.records import Records

log = logging.getLogger(__name__)

LARGEST = float(np.finfo(np.float32).max)  # in which scores are computed and served


def of(batch: Records, hyperparameters: Hyperparameters, width: int, channel: str) -> np.ndarray:
    """The labels (n,) float64 of a batch of `width` features. Raises UserError for another width, and naming
    the first label that cannot be one."""
    if batch.width != width:
        hint = ""
        if abs(batch.width - width) == 1:
            hint = ": is the label's column counted among the features, or missing (label_size)?"
        source = "the first records of channel 'train' have"
        if hyperparameters.feature_dim != "auto":
            source = "hyperparameter feature_dim is"
        raise UserError(
            f"{batch.where(0)} of channel '{channel}' has {batch.width} features, but {source} {width}{hint}"
        )
    labels = batch.labels
    if labels is None or labels.shape[1] != 1:
        count = 0 if labels is None else labels.shape[1]
        raise UserError(
            f"{batch.where(0)} has {count} labels, expected one: Linear Learner learns from one label a "
            "record (CSV: the first column, content type text/csv or text/csv;label_size=1)"
        )
    y: np.ndarray = labels[:, 0]
    if hyperparameters.predictor_type == "regressor":
        good = np.abs(y) <= LARGEST  # NaN is not
        if not good.all():
            row = int(good.argmin())
            raise UserError(
                f"{batch.where(row)} has the label {y[row]:g}, expected a finite number of at most "
                f"{LARGEST:.2g} either side of 0"
            )
        return y
    classes = _classes(hyperparameters)
    good = (y >= 0) & (y == np.floor(y))
    if classes is not None:
        good &= y < classes
    if good.all():
        return y
    row = int(good.argmin())
    raise UserError(f"{batch.where(row)} has the label {y[row]:g}, {_expectation(y, row, classes)}")


def require_num_classes(labels: np.ndarray, hyperparameters: Hyperparameters) -> None:
    """Raise UserError where a multiclass classifier was not told its number of classes; `labels` are those
    of the first rows, of all hosts."""
    if hyperparameters.predictor_type != "multiclass_classifier" or hyperparameters.num_classes > 1:
        return
    distinct = np.unique(labels)
    if len(distinct) == 2 and distinct.max() == 1:
        advice = "for two classes use predictor_type='binary_classifier'"
    else:
        advice = f"set num_classes={int(distinct.max(initial=2)) + 1}"
    raise UserError(
        "hyperparameter num_classes is required for predictor_type='multiclass_classifier' and was not "
        f"given: the first {len(labels)} rows of channel 'train' have {len(distinct)} distinct labels, the "
        f"largest {distinct.max(initial=0):g}; {advice}"
    )


def warn_of_one_class(counts: np.ndarray) -> None:
    """counts: (classes,) of the first rows of all hosts; none of a regressor."""
    if (counts > 0).sum() == 1:
        log.warning(
            "the first %d rows of channel 'train' all have the label %d: a classifier has nothing to "
            "tell apart; are the rows sorted by label? Shuffle them",
            counts.sum(),
            int(counts.argmax()),
        )


def _classes(hyperparameters: Hyperparameters) -> int | None:
    """How many there are; None: not given yet."""
    if hyperparameters.predictor_type == "binary_classifier":
        return 2
    return hyperparameters.num_classes if hyperparameters.num_classes > 1 else None


def _expectation(labels: np.ndarray, row: int, classes: int | None) -> str:
    bad = labels[row]
    fractions = (labels != np.floor(labels)).any()
    if classes == 2:
        expected = "expected 0 or 1 for predictor_type='binary_classifier'"
        if bad == -1:
            return f"{expected}: replace label -1 by 0"
        if fractions:
            return f"{expected}: labels that are no classes are for predictor_type='regressor'"
        if set(np.unique(labels).tolist()) <= {1.0, 2.0}:
            return f"{expected}: subtract 1 from labels 1 and 2"
        return f"{expected}: more classes are for predictor_type='multiclass_classifier'"
    if classes is None:
        expected = "expected an integer from 0 on for predictor_type='multiclass_classifier'"
    else:
        expected = f"expected an integer from 0 to {classes - 1}, as num_classes is {classes}"
    if fractions:
        return f"{expected}: labels that are no classes are for predictor_type='regressor'"
    if bad == classes:
        return f"{expected}: if labels run from 1 to {classes}, subtract 1, else raise num_classes"
    return expected
