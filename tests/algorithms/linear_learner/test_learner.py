"""The learner: its rule, its scaling, what it does when models diverge, and what it refuses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.linear_learner import learner as learning
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.learner import CRITERIA, Learner
from optml.algorithms.linear_learner.losses import Loss
from optml.algorithms.linear_learner.model import Model
from optml.algorithms.metrics import Metric
from optml.container.cluster import Alone
from optml.errors import UserError
from optml.formats.records import Origin, Records
from tests.algorithms.hosts import on_hosts
from tests.algorithms.linear_learner.jobs import fit

RNG = np.random.default_rng(0)
ROWS = (RNG.normal(size=(600, 6)) * [1, 2, 3, 4, 5, 6] + [0, 5, 0, -9, 0, 60]).astype(np.float32)
TARGET = ROWS @ [1.0, -2, 0.5, 0, 0.3, 1] + 4 + RNG.normal(size=600) * 0.1
CLASS = (np.median(TARGET) < TARGET).astype(float)


def learner(
    *,
    cluster: Cluster | None = None,
    channels: tuple[str, ...] = ("train",),
    warm_start: Path | None = None,
    seed: int = 0,
    stopped: Callable[[], bool] = lambda: False,
    **hyperparameters: Any,
) -> Learner:
    hyperparameters = {"predictor_type": "regressor", "mini_batch_size": 50} | hyperparameters
    setting = Setting(
        Hyperparameters.model_validate(hyperparameters),
        cluster or Alone(),
        "cpu",
        seed,
        warm_start,
        channels,
        stopped=stopped,
    )
    return Learner(setting)


def batches(rows: Any = ROWS, labels: np.ndarray = TARGET, size: int = 50) -> list[Records]:
    whole = Records(rows, np.asarray(labels, float)[:, None], origins=((0, Origin("train/a.csv", 1, "row")),))
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def epochs(state: Learner, parts: Sequence[Records | None], count: int = 1) -> list[Metric]:
    metrics = []
    for _ in range(count):
        for part in parts:
            state.update(part)
        metrics += list(state.end_round())
    return metrics


def weights(state: Learner) -> tuple[np.ndarray, np.ndarray]:
    model = state.finish()[0]
    assert isinstance(model, Model)
    return model.weight, model.bias


def test_a_step_is_the_rule_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adam with an L2 penalty and a tenfold rate of the bias, on scaled rows, written out in float64."""
    monkeypatch.setattr(learning, "LEAST_UPDATES", 0)
    hyperparameters = {"num_models": 1, "wd": 0.01, "lr_scheduler_step": 3, "num_point_for_scaler": 600}
    state = learner(**hyperparameters)
    parts = batches()
    epochs(state, parts)
    x, y = (ROWS - ROWS.mean(axis=0)) / ROWS.std(axis=0), (TARGET - TARGET.mean()) / TARGET.std()
    w = np.append(np.random.default_rng((0, 1, 0)).uniform(-0.07, 0.07, (6, 1))[:, 0], 0.0)
    m, v = np.zeros(7), np.zeros(7)
    for t, start in enumerate(range(0, 600, 50), 1):
        rows = np.column_stack([x[start : start + 50], np.ones(50)])
        g = 2 * (rows @ w - y[start : start + 50]) @ rows / 50 + np.append(np.full(6, 0.01), 0) * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        rate = 0.1 * 0.99 ** ((t - 1) // 3) * np.append(np.ones(6), 10)
        w -= rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
    assert state.stack is not None
    weight, bias = state.stack.model(0)
    np.testing.assert_allclose(np.append(weight, bias), w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_row_weighs_the_same_in_a_short_step(sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "LEAST_UPDATES", 0)
    hyperparameters = {"optimizer": "sgd", "learning_rate": 1e-6, "wd": 0.0, "num_models": 1}
    rows, y = ROWS[:60], (TARGET[:60] - TARGET[:60].mean()) / TARGET[:60].std()
    state = learner(**hyperparameters, use_lr_scheduler=False)
    epochs(state, batches(csr_array(rows) if sparse else rows, TARGET[:60]))
    x = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    start = np.random.default_rng((0, 1, 0)).uniform(-0.07, 0.07, (6, 1))[:, 0]
    assert state.stack is not None
    change = (start - state.stack.model(0)[0][0]) / 1e-6
    # So small a rate leaves the weights about where they were: both steps, of 50 rows and of 10, add up.
    np.testing.assert_allclose(change, 2 * (x @ start - y) @ x / 50, atol=0.02)


def test_few_rows_are_gone_over_until_the_models_have_learnt(caplog: pytest.LogCaptureFixture) -> None:
    state, once = learner(num_models=2), learner(num_models=2, num_point_for_scaler=599)
    metrics = epochs(state, batches())
    epochs(once, batches())
    assert state.stack is not None
    assert once.stack is not None
    assert (state.stack.updates, once.stack.updates) == (learning.LEAST_UPDATES, 12)
    assert state.rows == 0
    assert sum(map(len, state.sample.batches)) == 600
    # The loss is that of the first pass alone, and the epochs that follow are one pass each.
    assert metrics[0].value == pytest.approx(once.objective[0], rel=1e-2)
    epochs(state, batches())
    assert state.stack.updates == learning.LEAST_UPDATES + 12


def test_a_job_stopped_while_it_goes_over_few_rows_has_a_model_and_goes_on_as_if_undisturbed() -> None:
    undisturbed, asked = learner(num_models=2), []
    epochs(undisturbed, batches(), 2)

    def stopped() -> bool:
        asked.append(1)
        return len(asked) >= 20

    state = learner(num_models=2, stopped=stopped)
    epochs(state, batches())
    assert state.stack is not None
    assert state.stack.updates == 12 + 20
    assert state.model() is not None
    resumed = learner(num_models=2)
    resumed.load_state_dict(state.state_dict())
    assert resumed.rows == 0
    np.testing.assert_array_equal(resumed.objective, state.objective)
    epochs(resumed, batches())
    for mine, theirs in zip(weights(resumed), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_folded_weights_answer_as_the_scaled_ones() -> None:
    for kind, labels in (("regressor", TARGET), ("binary_classifier", CLASS)):
        state = learner(predictor_type=kind, loss="auto" if kind != "regressor" else "huber_loss")
        epochs(state, batches(labels=labels), 3)
        model, _ = state.finish()
        assert state.stack is not None
        assert state.choice is not None
        z = state.stack.scores(ROWS)[:, state.choice.best]
        if kind == "regressor":
            z = z * TARGET.std() + TARGET.mean()
        np.testing.assert_allclose(model.raw(ROWS), z, rtol=1e-4, atol=1e-5 * np.abs(z).max())


def test_one_model_is_the_first_of_32_bit_for_bit() -> None:
    for kind, labels in (("regressor", TARGET), ("binary_classifier", CLASS)):
        one, many = (learner(predictor_type=kind, num_models=count) for count in (1, 32))
        for state in (one, many):
            epochs(state, batches(labels=labels), 2)
        assert one.stack is not None
        assert many.stack is not None
        for ours, theirs in zip(one.stack.model(0), many.stack.model(0), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["regressor", "binary_classifier"])
def test_sparse_rows_give_the_weights_of_dense_ones(kind: str) -> None:
    rows = ROWS * (RNG.random(ROWS.shape) < 0.4)
    rows[:, 3] = 2.5  # constant
    labels = TARGET if kind == "regressor" else CLASS
    sparse, dense = (learner(predictor_type=kind, num_models=4) for _ in range(2))
    epochs(sparse, batches(csr_array(rows), labels), 3)
    epochs(dense, batches(rows, labels), 3)
    for ours, theirs in zip(weights(sparse), weights(dense), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


def test_two_hosts_train_the_models_of_one_at_twice_the_batch() -> None:
    parts = batches()

    def work(cluster: Cluster) -> tuple[np.ndarray, np.ndarray]:
        state = learner(cluster=cluster, num_point_for_scaler=130)
        mine = parts[cluster.rank :: 2]
        for _ in range(2):
            for part in [*mine, None]:
                state.update(part)
            list(state.end_round())
        return weights(state)

    alone = learner(mini_batch_size=100, num_point_for_scaler=130)
    epochs(alone, batches(size=100), 2)
    expected = weights(alone)
    for result in on_hosts(2, work):
        for ours, theirs in zip(result, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("after", [1, 5])
def test_a_resumed_learner_is_undisturbed(after: int) -> None:
    """Resumed while the scaler waits for rows, and later."""
    parts = batches()
    first, undisturbed = (learner(num_point_for_scaler=170) for _ in range(2))
    for part in parts[:after]:
        first.update(part)
    second = learner(num_point_for_scaler=170)
    second.load_state_dict(first.state_dict())
    for part in parts[after:]:
        second.update(part)
    metrics = [metric.value for metric in second.end_round()]
    assert metrics == [metric.value for metric in epochs(undisturbed, parts)]
    for ours, theirs in zip(weights(second), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sparse_rows_that_wait_are_kept_by_a_checkpoint() -> None:
    first, second = learner(), learner()
    first.update(batches(csr_array(ROWS))[0])
    first.update(None)
    second.load_state_dict(first.state_dict())
    for ours, theirs in zip(weights_after(first), weights_after(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def weights_after(state: Learner) -> tuple[np.ndarray, np.ndarray]:
    list(state.end_round())
    return weights(state)


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


def test_a_learning_rate_below_the_schedule_s_minimum_stays() -> None:
    hyperparameters = {
        "optimizer": "sgd",
        "num_models": 1,
        "learning_rate": 1e-12,
        "lr_scheduler_minimum_lr": 1.0,
    }
    state = learner(**hyperparameters)
    epochs(state, batches())
    start = np.random.default_rng((0, 1, 0)).uniform(-0.07, 0.07, (6, 1))
    assert state.stack is not None
    np.testing.assert_allclose(state.stack.model(0)[0], start.T, atol=1e-8)


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


def test_positive_rows_weigh_as_they_are_told_to() -> None:
    labels = (np.arange(600) % 10 == 0).astype(float)
    hyperparameters = {"predictor_type": "binary_classifier", "num_models": 2}
    state = learner(positive_example_weight_mult="balanced", **hyperparameters)
    epochs(state, batches(labels=labels))
    assert state.stack is not None
    assert state.stack.class_weights is not None
    np.testing.assert_array_equal(state.stack.class_weights, [[1, 1], [9, 9]])
    state = learner(positive_example_weight_mult="auto", **hyperparameters)
    epochs(state, batches(labels=labels))
    assert state.stack is not None
    assert state.stack.class_weights is not None
    np.testing.assert_array_equal(state.stack.class_weights, [[1, 1], [1, 9]])


def test_classes_weigh_the_inverse_of_their_frequency() -> None:
    labels = np.where(np.arange(600) % 4 == 0, 2.0, 0.0)
    state = learner(
        predictor_type="multiclass_classifier", num_classes=3, balance_multiclass_weights=True, num_models=1
    )
    epochs(state, batches(labels=labels))
    assert state.stack is not None
    assert state.stack.class_weights is not None
    np.testing.assert_allclose(state.stack.class_weights[:, 0], [4 / 3, 1e6, 4])


def test_an_earlier_model_is_gone_on_from(tmp_path: Path) -> None:
    first = learner()
    epochs(first, batches(), 10)
    model, _ = first.finish()
    model.save(tmp_path)
    whole = {"mini_batch_size": 600}  # one step an epoch: the loss is that of the start
    (loss, *_) = epochs(learner(warm_start=tmp_path, **whole), batches(size=600))
    errors = (model.raw(ROWS)[:, 0] - TARGET) / TARGET.std()
    assert loss.value == pytest.approx(np.square(errors).mean(), rel=1e-3)


def test_weights_beyond_float32_leave_no_model_that_nobody_can_load() -> None:
    state = learner()
    epochs(state, batches(ROWS * np.float32(1e-20), TARGET * 1e20))
    with pytest.raises(
        UserError, match=r"weights of up to \S+ for features as they are given are beyond float32"
    ):
        state.finish()


def test_features_too_small_for_float32_count_as_constant() -> None:
    rows = ROWS.copy()
    rows[:, 0] *= np.float32(1e-39)
    state = learner()
    epochs(state, batches(rows))
    assert np.isfinite(weights(state)[0]).all()


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


def test_without_bias_there_is_none() -> None:
    state = learner(use_bias=False)
    epochs(state, batches())
    np.testing.assert_array_equal(weights(state)[1], 0)


def test_a_stop_before_the_scaler_is_ready_leaves_no_model_and_later_one() -> None:
    state = learner()
    state.update(batches()[0])
    assert state.model() is None
    list(state.end_round())
    assert state.model() is not None


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
