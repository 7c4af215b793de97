"""What the learner says of its models after each epoch, and which of them it chooses by that."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.linear_learner import learner as learning
from optml.algorithms.linear_learner.learner import CRITERIA
from optml.algorithms.linear_learner.losses import Loss
from optml.algorithms.linear_learner.model import Model
from tests.algorithms.linear_learner.jobs import fit
from tests.algorithms.linear_learner.learners import (
    CLASS,
    ROWS,
    TARGET,
    batches,
    epochs,
    learner,
)


def test_each_epoch_tells_the_loss_before_each_update_on_scaled_labels() -> None:
    state = learner(num_models=2, mini_batch_size=600)
    metrics = epochs(state, batches(size=600))
    assert [(metric.name, metric.model, metric.token) for metric in metrics] == [
        ("train:objective_loss", 0, "mse"),
        ("train:objective_loss", 1, "mse"),
        (CRITERIA, None, "mse_objective"),
    ]
    x, y = (ROWS - ROWS.mean(axis=0)) / ROWS.std(axis=0), (TARGET - TARGET.mean()) / TARGET.std()
    for metric in metrics[:2]:
        w = np.random.default_rng((0, 1, metric.model or 0)).uniform(-0.07, 0.07, (6, 1))
        exact = Loss("squared_loss").value((x @ w)[:, None], y).mean()
        assert metric.value == pytest.approx(exact, rel=1e-5)


def test_early_stopping_keeps_the_best_epoch(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "optml")
    hyperparameters = {"predictor_type": "binary_classifier", "mini_batch_size": 50, "epochs": 40}
    fit((ROWS, CLASS), (ROWS[:200], CLASS[:200]), early_stopping_tolerance=0.5, **hyperparameters)
    assert "Epoch 0: Loss improved. Updating best model" in caplog.messages
    assert [line for line in caplog.messages if "has not improved" in line] == [
        f"Epoch {epoch}: Loss has not improved for {epoch - 1} epochs." for epoch in (1, 2, 3)
    ] + [f"Early stopping: {CRITERIA} has not improved any more"]


@pytest.mark.parametrize("loss", ["squared_loss", "huber_loss"])
def test_validation_is_in_units_of_the_label_and_its_criterion_that_of_the_best_model(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = learner(channels=("train", "validation"), loss=loss, huber_delta=0.2, num_models=8)
    monkeypatch.setattr(learning, "LEAST_UPDATES", 0)  # or the first model may be the best
    epochs(state, batches(), 2)
    metrics = {metric.model: metric.value for metric in state.evaluate("validation", batches())}
    assert state.stack is not None
    measure = Loss(loss, 0.2 * TARGET.std())
    rows = (ROWS - ROWS.mean(axis=0)) / ROWS.std(axis=0)
    for place in range(8):
        weight, bias = state.stack.model(place)
        z = (rows @ weight.T + bias) * TARGET.std() + TARGET.mean()
        assert metrics[place] == pytest.approx(measure.value(z[:, None], TARGET).mean(), rel=1e-4)
    criterion = metrics.pop(None)
    assert criterion == min(metrics.values()) < metrics[0]
    model, _ = state.finish()
    assert isinstance(model, Model)
    (objective, *_) = state.evaluate("validation", batches())
    expected = measure.value(model.raw(ROWS)[:, None], TARGET).mean()
    assert objective.value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("has_validation", [False, True])
def test_early_stopping_goes_by_the_lowest_loss_whatever_the_criterion(has_validation: bool) -> None:
    channels = ("train", "validation") if has_validation else ("train",)
    state = learner(predictor_type="binary_classifier", channels=channels, epochs=9)
    rule, objective = state.stopping()
    assert objective == CRITERIA
    metrics = epochs(state, batches(labels=CLASS))
    if has_validation:
        metrics = list(state.evaluate("validation", batches(labels=CLASS)))
        assert metrics[-1].token == "sampled_accuracy"
    assert rule.update(metrics[-1].value) == "best"
    assert rule.best == min(metric.value for metric in metrics if metric.name != CRITERIA)


def test_scores_of_many_classes_are_computed_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hyperparameters = {"predictor_type": "multiclass_classifier", "num_classes": 40}
    labels = np.arange(600) % 40.0
    state = learner(channels=("train", "validation"), **hyperparameters)
    epochs(state, batches(labels=labels))
    at_once = [metric.value for metric in state.evaluate("validation", batches(labels=labels, size=600))]
    assert state.stack is not None
    most, scores = [], state.stack.scores
    monkeypatch.setattr(state.stack, "scores", lambda rows: most.append(len(rows)) or scores(rows))
    monkeypatch.setattr("optml.algorithms.linear_learner.evaluation.BYTES", 4 * 32 * 40 * 7)
    in_pieces = [metric.value for metric in state.evaluate("validation", batches(labels=labels, size=600))]
    assert max(most) == 7
    np.testing.assert_allclose(in_pieces, at_once, rtol=1e-6)  # sums of float32 losses in another order


def test_the_rows_to_choose_a_model_by_are_not_those_of_the_scaler_alone() -> None:
    state = learner(num_point_for_scaler=1)
    epochs(state, batches(), 2)
    assert sum(map(len, state.sample.batches)) == 600
    state = learner(num_point_for_scaler=200, num_calibration_samples=130)
    epochs(state, batches(), 2)
    assert [len(part) for part in state.sample.batches] == [50, 50, 30]


def test_the_rows_to_choose_a_model_by_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optml.algorithms.linear_learner.train_sample.BYTES", 4 * 6 * 120)
    for rows in (ROWS, csr_array(ROWS)):
        state = learner()
        epochs(state, batches(rows), 2)
        size = sum(map(len, state.sample.batches))
        assert size == (120 if rows is ROWS else 60)  # a sparse value takes 8 bytes, and its 6 are all there
