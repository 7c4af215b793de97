"""What the learner refuses, and what it warns of: labels, widths, and models that diverge."""

from __future__ import annotations

import numpy as np
import pytest

from optml.errors import UserError
from optml.formats.records import Records
from tests.algorithms.linear_learner.learners import (
    ROWS,
    TARGET,
    batches,
    epochs,
    learner,
    weights,
)


def test_a_diverged_model_is_dropped_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    wild = ROWS * np.float32(1e15)
    state = learner(optimizer="sgd", num_models=3, normalize_data=False, unbias_data=False, wd=0.0, l1=0.0)
    state.points[1:] = [state.points[1].__class__("sgd", 1e-40, 0, 0, 100, 0.99, 1e-40)] * 2
    metrics = epochs(state, batches(wild), 1)
    assert "model 0 (learning_rate=0.1) diverged in epoch 0 and is dropped" in caplog.messages
    assert np.isnan(metrics[0].value)
    assert np.isfinite([metric.value for metric in metrics[1:]]).all()
    assert np.isnan(epochs(state, batches(wild))[0].value)  # for good
    assert np.isfinite(weights(state)[0]).all()


def test_divergence_of_all_names_the_learning_rate() -> None:
    state = learner(optimizer="sgd", learning_rate=50.0, normalize_data=False, num_models=2)
    with pytest.raises(UserError, match=r"diverged with hyperparameter learning_rate=50; lower it"):
        epochs(state, batches(ROWS * np.float32(1e10)), 5)


def test_weights_beyond_float32_leave_no_model_that_nobody_can_load() -> None:
    state = learner()
    epochs(state, batches(ROWS * np.float32(1e-20), TARGET * 1e20))
    with pytest.raises(
        UserError, match=r"weights of up to \S+ for features as they are given are beyond float32"
    ):
        state.finish()


BAD = [
    ("binary_classifier", {}, [0, 1, -1.0], r"row 3 of train/a.csv has the label -1.*replace label -1 by 0"),
    ("binary_classifier", {}, [1, 2.0, 1], r"row 2 .*label 2.*subtract 1"),
    ("binary_classifier", {}, [0, 1, 7.0], r"label 7.*multiclass_classifier"),
    ("binary_classifier", {}, [0, 1, 0.5], r"row 3 .*0.5.*regressor"),
    ("multiclass_classifier", {"num_classes": 3}, [1, 2, 3.0], r"label 3.*0 to 2.*subtract 1"),
    ("multiclass_classifier", {"num_classes": 3}, [1, 2, 17.2], r"17.2.*regressor"),
    ("regressor", {}, [1, np.nan, 2.0], r"row 2 of train/a.csv has the label nan, expected a finite number"),
    (
        "regressor",
        {},
        [1, 2.0, -1e200],
        r"row 3 .*label -1e\+200, expected a finite number of at most 3.4e\+38",
    ),
]


@pytest.mark.parametrize(("kind", "hyperparameters", "values", "message"), BAD)
def test_labels_that_are_none_are_named(
    kind: str, hyperparameters: dict[str, int], values: list[float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        learner(predictor_type=kind, **hyperparameters).update(batches(ROWS[:3], np.array(values))[0])


@pytest.mark.parametrize(("classes", "message"), [(5, r"5 distinct labels.*num_classes=5"), (2, "binary")])
def test_a_missing_number_of_classes_is_counted(classes: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        epochs(learner(predictor_type="multiclass_classifier"), batches(labels=np.arange(600) % classes))


def test_a_missing_label_is_told() -> None:
    with pytest.raises(UserError, match=r"has 0 labels, expected one"):
        learner().update(Records(ROWS[:5]))


def test_a_width_that_differs_is_told() -> None:
    with pytest.raises(UserError, match=r"has 6 features, but hyperparameter feature_dim is 7.*label_size"):
        learner(feature_dim=7).update(batches()[0])


def test_one_class_only_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    epochs(learner(predictor_type="binary_classifier"), batches(labels=np.ones(600)))
    assert "all have the label 1" in caplog.text


def test_a_batch_larger_than_the_data_is_clamped(caplog: pytest.LogCaptureFixture) -> None:
    epochs(learner(mini_batch_size=5000), batches(size=5000))
    assert "mini_batch_size is 5000, but channel 'train' has 600 rows" in caplog.text
