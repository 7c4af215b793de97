"""The learner: its rule, its scaling, its hosts and its checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.cluster import Cluster
from optml.algorithms.linear_learner import learner as learning
from optml.algorithms.linear_learner.learner import Learner
from tests.algorithms.hosts import on_hosts
from tests.algorithms.linear_learner.learners import (
    CLASS,
    RNG,
    ROWS,
    TARGET,
    batches,
    epochs,
    learner,
    weights,
)


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


def test_features_too_small_for_float32_count_as_constant() -> None:
    rows = ROWS.copy()
    rows[:, 0] *= np.float32(1e-39)
    state = learner()
    epochs(state, batches(rows))
    assert np.isfinite(weights(state)[0]).all()


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
