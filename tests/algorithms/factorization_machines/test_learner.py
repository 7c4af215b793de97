from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from optml.algorithms.kernels.factorized import reference
from optml.algorithms.kernels.factorized.terms import BETA1, BETA2
from optml.errors import UserError
from optml.formats import record_protobuf as recordio
from optml.formats.layout import Layout
from optml.formats.records import Origin, Records
from tests.algorithms.factorization_machines.training import (
    absorb,
    batches,
    fit,
    learner,
    plant,
    rows_of,
    sparse,
    values,
)
from tests.algorithms.hosts import on_hosts


@pytest.mark.parametrize(
    ("hyperparameters", "least", "most"),
    [({"linear_lr": 0.01, "factors_lr": 0.01, "epochs": 5}, 0.8, 0.86), ({"epochs": 20}, 1.18, 1.27)],
)
def test_planted_interactions_are_found_as_well_as_the_specification_asks(
    hyperparameters: dict[str, float], least: float, most: float
) -> None:
    features, labels = plant(200_000)
    cut = 180_000
    state = learner(2500, num_factors=8, **hyperparameters)
    absorb(state, features[:cut], labels[:cut])
    state.finish()
    rmse = values(list(state.evaluate("test", batches(features[cut:], labels[cut:], 1000))))["test:rmse"]
    assert least <= rmse <= most  # the noise alone has 0.8


def test_a_classifier_learns_what_is_in_interactions_alone() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 2, (2, 4000))
    features = np.eye(4, dtype=np.float32)[left] + np.eye(4, dtype=np.float32)[2 + right]
    labels = (left ^ right).astype(float)
    state = learner(
        4, predictor_type="binary_classifier", factors_lr=0.1, factors_init_sigma=0.1, mini_batch_size=100
    )
    absorb(state, csr_array(features), labels)
    metrics = values(list(state.evaluate("test", batches(csr_array(features), labels, 1000))))
    assert metrics["test:binary_classification_accuracy"] == 1
    assert metrics["test:binary_f_beta"] == 1
    assert metrics["test:binary_classification_cross_entropy"] < 0.1
    (last, *_) = reversed(list(state.evaluate("test", batches(features, labels, 1000))))
    assert last.token == "1.000"


def test_one_update_is_adam_s_step_on_rows_that_occur_and_no_others() -> None:
    features, labels = sparse(50, 40, 0.05)
    hyperparameters = {"factors_lr": 0.01, "linear_lr": 0.02, "factors_wd": 0.1, "linear_wd": 0.2}
    state, other = learner(40, factors_init_sigma=0.5, **hyperparameters), learner(40, factors_init_sigma=0.5)
    for each in (state, other):
        each.dense = False
    before, bias = rows_of(other).astype(np.float64), other.model().bias  # type: ignore[union-attr]
    state.update(Records(features, labels[:, None]))
    _, _, slopes, gradient = reference(
        before, bias, features.toarray().astype(float), labels, classifier=False
    )
    g = gradient / 50 + np.array([*[0.1] * 4, 0.2]) * before
    correct = math.sqrt(1 - BETA2) / (1 - BETA1)
    step = correct * (1 - BETA1) * g / (np.sqrt((1 - BETA2) * g * g) + 1e-8)
    occurs = np.isin(np.arange(40), features.indices)
    assert 0 < occurs.sum() < 40
    expected = np.where(occurs[:, None], before - np.array([*[0.01] * 4, 0.02]) * step, before)
    sure = np.abs(g) > 1e-5  # the step's sign is the gradient's
    np.testing.assert_allclose(rows_of(state)[sure], expected[sure], atol=1e-5)
    np.testing.assert_array_equal(rows_of(state)[~occurs], before[~occurs].astype(np.float32))
    g = slopes.mean() + 0.01 * bias
    assert state.model().bias == pytest.approx(bias - 0.1 * np.sign(g), abs=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("hyperparameters", "rescale", "clip"),
    [
        ({}, 1 / 50, math.inf),
        ({"rescale_grad": 2.0}, 2.0, math.inf),
        ({"clip_gradient": 0.02}, 1 / 50, 0.02),
        ({"clip_gradient": -1.0}, 1 / 50, math.inf),
    ],
)
def test_gradients_are_rescaled_decayed_and_clipped_in_turn(
    hyperparameters: dict[str, float], rescale: float, clip: float
) -> None:
    features, labels = sparse(50, 10, 0.5)
    rates = {
        "factors_lr": 1e4,
        "linear_lr": 2e4,
        "bias_lr": 3e4,
        "eps": 100.0,
    }  # steps follow gradients' sizes
    decays = {"factors_wd": 0.1, "linear_wd": 0.2, "bias_wd": 0.3}
    starts = {"factors_init_sigma": 0.5, "bias_init_sigma": 1.0}
    state = learner(10, **rates, **decays, **starts, **hyperparameters)
    state.dense = False
    before, bias = rows_of(state).astype(np.float64), state.model().bias  # type: ignore[union-attr]
    state.update(Records(features, labels[:, None]))
    _, _, slopes, gradient = reference(
        before, bias, features.toarray().astype(float), labels, classifier=False
    )
    values = np.append(before.reshape(-1), bias)
    decay = np.append(np.tile([*[0.1] * 4, 0.2], 10), 0.3)
    rate = np.append(np.tile([*[1e4] * 4, 2e4], 10), 3e4)
    g = np.clip(rescale * np.append(gradient.reshape(-1), slopes.sum()) + decay * values, -clip, clip)
    mean, square = (1 - BETA1) * g, (1 - BETA2) * g * g
    step = rate * math.sqrt(1 - BETA2) / (1 - BETA1) * mean / (np.sqrt(square) + 100)
    parameters = np.append(rows_of(state).reshape(-1), state.model().bias)  # type: ignore[union-attr]
    np.testing.assert_allclose(parameters, values - step, rtol=1e-4, atol=1e-4)  # sums of 50 rows in float32


def test_dense_batches_move_all_rows_and_score_as_sparse_ones() -> None:
    features, labels = sparse(50, 40, 0.05)
    (dense, first), (_, second) = (
        (
            state := learner(40, linear_wd=0.5, factors_init_sigma=0.3),
            values(list(state.update(Records(x, labels[:, None])))),
        )
        for x in (features.toarray(), features)
    )
    assert first["train:mse"] == pytest.approx(second["train:mse"], rel=1e-5)
    fresh = learner(40, linear_wd=0.5, factors_init_sigma=0.3)
    fresh.dense = False
    assert (rows_of(dense) != rows_of(fresh)).all()


def test_kinds_of_batches_may_change_on_the_way() -> None:
    features, labels = sparse(60, 30)
    parts = [Records(features[i : i + 20], labels[i : i + 20, None]) for i in (0, 20, 40)]
    dense = [Records(part.features.toarray(), part.labels) for part in parts]
    for kinds in ((parts, dense), (dense, parts)):
        mixed, pure = learner(30, factors_init_sigma=0.3), learner(30, factors_init_sigma=0.3)
        for i, part in enumerate(kinds[0]):
            pure.update(part)
            mixed.update(kinds[i % 2][i])
        np.testing.assert_array_equal(rows_of(mixed), rows_of(pure))


def test_a_short_batch_counts_its_own_rows() -> None:
    features, labels = sparse(30)
    short, by_hand = learner(30, mini_batch_size=1000), learner(30, rescale_grad=1 / 30)
    short.update(Records(features, labels[:, None]))
    by_hand.update(Records(features, labels[:, None]))
    np.testing.assert_array_equal(rows_of(short), rows_of(by_hand))


def test_values_of_an_epoch_are_means_of_what_each_batch_scored_before_its_update() -> None:
    features, labels = sparse(70)
    state = learner(30, mini_batch_size=20, batch_metrics_publish_interval=2, factors_lr=0.1)
    errors: list[np.ndarray] = []
    lines = []
    for batch in batches(features, labels, 20):
        model = state.model()
        scores = np.zeros(20) if model is None else model.scores(batch.features)
        lines += list(state.update(batch))
        if model is None:  # made by the first update
            fresh = learner(30)
            fresh.dense = False
            scores = fresh.model().scores(batch.features)  # type: ignore[union-attr]
        errors.append(batch.labels[:, 0] - scores)  # type: ignore[index]
    metrics = values(list(state.end_round()))
    every = np.concatenate(errors)
    assert metrics["train:mse:epoch"] == pytest.approx((every**2).mean(), rel=1e-5)
    assert metrics["train:rmse:epoch"] == pytest.approx(math.sqrt((every**2).mean()), rel=1e-5)
    assert metrics["train:absolute_loss:epoch"] == pytest.approx(np.abs(every).mean(), rel=1e-5)
    assert [(line.name, line.batch) for line in lines] == [
        (f"train:{name}", batch) for batch in (0, 2) for name in ("rmse", "mse", "absolute_loss")
    ]
    assert lines[4].value == pytest.approx((every[:60] ** 2).mean(), rel=1e-5)
    batch = next(batches(features, labels, 20))
    scores = state.model().scores(batch.features)  # type: ignore[union-attr]
    second = list(state.update(batch))
    assert [metric.batch for metric in second] == [0, 0, 0]
    assert second[1].value == pytest.approx(((labels[:20] - scores) ** 2).mean(), rel=1e-5)


def test_terms_can_be_dropped() -> None:
    features, labels = sparse()
    model = fit(features, labels, use_bias=False, use_linear=False, factors_init_sigma=0.5, epochs=3)
    assert model.bias == 0
    assert not model.weights.any()
    assert model.factors.any()


def test_the_order_of_features_changes_nothing_but_rounding() -> None:
    features, labels = sparse()
    hyperparameters: dict[str, Any] = {"factors_lr": 0.01, "mini_batch_size": 60, "epochs": 3}
    order = np.random.default_rng(0).permutation(60)
    a, b = fit(features, labels, **hyperparameters), fit(features[order], labels[order], **hyperparameters)
    np.testing.assert_allclose(a.factors, b.factors, atol=1e-4)


@pytest.mark.parametrize("dense", [False, True])
def test_a_resumed_state_goes_on_as_if_undisturbed(dense: bool) -> None:
    features, labels = sparse(100, 60, 0.02)  # some occur first after the resume
    x = features.toarray() if dense else features
    hyperparameters: dict[str, Any] = {"factors_lr": 0.05, "mini_batch_size": 20, "seed": 5}
    state = learner(60, **hyperparameters)
    parts = list(batches(x, labels, 20))
    for part in parts[:3]:
        state.update(part)
    resumed = learner(60, **hyperparameters | {"seed": 6})
    resumed.load_state_dict({name: array.copy() for name, array in state.state_dict().items()})
    for part in parts[3:]:
        assert list(state.update(part)) == list(resumed.update(part))
    assert list(state.end_round()) == list(resumed.end_round())
    np.testing.assert_array_equal(rows_of(state), rows_of(resumed))
    end = learner(60, **hyperparameters)
    end.load_state_dict(state.state_dict())
    assert end.variances == state.variances != (0.0, 0.0)
    fresh = learner(60)
    fresh.load_state_dict(fresh.state_dict())
    assert fresh.model() is None


@pytest.mark.parametrize("dense", [False, True])
def test_two_hosts_learn_what_one_does_with_twice_the_batch(dense: bool) -> None:
    features, labels = sparse(200, 50, 0.1)
    x = features.toarray() if dense else features
    hyperparameters: dict[str, Any] = {"factors_lr": 0.01, "linear_lr": 0.01, "factors_init_sigma": 0.3}

    def work(cluster: Any) -> tuple[np.ndarray, float, dict[str, float]]:
        state = learner(50, cluster=cluster, mini_batch_size=20, **hyperparameters)
        for number, batch in enumerate(batches(x, labels, 20)):
            if number % 2 == cluster.rank:
                state.update(batch)
        epoch = values(list(state.end_round()))
        test = values(list(state.evaluate("test", batches(x, labels, 50) if cluster.rank else [])))
        return rows_of(state), state.model().bias, epoch | test  # type: ignore[union-attr]

    first, second = on_hosts(2, work)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1:] == second[1:]
    alone = learner(50, mini_batch_size=40, **hyperparameters)
    expected = absorb(alone, x, labels)
    np.testing.assert_allclose(first[0], rows_of(alone), atol=1e-4)  # steps are 0.01: signs agree but near 0
    assert first[2]["train:mse:epoch"] == pytest.approx(expected["train:mse:epoch"], rel=1e-4)
    expected = values(list(alone.evaluate("test", batches(x, labels, 50))))
    assert first[2]["test:mse"] == pytest.approx(expected["test:mse"], rel=1e-4)


@pytest.mark.parametrize("dense", [False, True])
def test_a_host_without_records_takes_part(dense: bool) -> None:
    features, labels = sparse(40)
    x = features.toarray() if dense else features

    def work(cluster: Any) -> np.ndarray:
        state = learner(30, cluster=cluster, mini_batch_size=20)
        for batch in batches(x, labels, 20):
            state.update(batch if cluster.rank == 1 else None)
        return rows_of(state)

    first, second = on_hosts(2, work)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, rows_of_fit(x, labels), atol=1e-6)


def rows_of_fit(features: Any, labels: np.ndarray) -> np.ndarray:
    model = fit(features, labels, mini_batch_size=20)
    return np.column_stack([model.factors, model.weights])


def test_divergence_names_the_epoch_the_batch_and_the_rates() -> None:
    features, labels = sparse()
    state = learner(30, factors_lr=1e30, mini_batch_size=20, epochs=2)
    with (
        pytest.raises(UserError, match=r"epoch 0, batch \d.* factors_lr \(1e\+30\).*clip_gradient"),
        np.errstate(all="ignore"),
    ):
        absorb(state, features, labels)


@pytest.mark.parametrize("dense", [False, True])
def test_divergence_in_the_last_update_is_no_model(dense: bool) -> None:
    features = np.full((10, 3), 1e18, np.float32)  # scores and losses are finite, gradients are not
    state = learner(3, mini_batch_size=10)
    absorb(state, features if dense else csr_array(features), np.ones(10))
    with pytest.raises(UserError, match="parameters are not finite after update 1"):
        state.finish()


def test_a_channel_that_is_empty_on_all_hosts_is_said() -> None:
    with pytest.raises(UserError, match="channel 'train' is empty"):
        learner(3).end_round()


ORIGINS = ((0, Origin("train/a.pbr", 11)),)


@pytest.mark.parametrize(
    ("kind", "labels", "message"),
    [
        ("regressor", None, "record 11 of train/a.pbr has no labels; channel 'train' needs label['values']"),
        ("regressor", [[1.0], [math.nan]], "record 12 of train/a.pbr has no label"),
        ("regressor", [[1.0], [math.inf]], "the label inf"),
        ("regressor", [[1.0], [1e39]], "the label 1e+39"),
        ("regressor", [[1.0, 2.0], [1.0, 2.0]], "has 2 labels"),
        (
            "binary_classifier",
            [[1.0], [4.0]],
            "record 12 of train/a.pbr has the label 4, .*predictor_type=regressor",
        ),
    ],
)
def test_labels_that_cannot_be_learned_are_named(kind: str, labels: Any, message: str) -> None:
    records = Records(sparse(2)[0], None if labels is None else np.array(labels), origins=ORIGINS)
    with pytest.raises(UserError, match=message.translate({ord(mark): rf"\{mark}" for mark in "[]+"})):
        learner(30, predictor_type=kind).update(records)


def test_values_without_their_method_are_said_to_be_ignored(caplog: Any) -> None:
    learner(3, factors_init_scale=0.5, bias_init_value=1.0, linear_init_sigma=0.1)
    assert "factors_init_scale is ignored: it belongs to factors_init_method=uniform" in caplog.text
    assert "bias_init_value is ignored" in caplog.text
    assert "linear_init_sigma" not in caplog.text


def test_factors_that_hardly_moved_give_a_hint(caplog: Any) -> None:
    caplog.set_level(logging.INFO, "optml")
    features, labels = plant(20_000)
    fit(features, labels)
    assert "The factors have hardly moved" in caplog.text
    assert "[Sparse network] Building a sparse network." in caplog.text
    caplog.clear()
    fit(features, labels, factors_lr=0.01, linear_lr=0.01, epochs=10)
    assert "hardly moved" not in caplog.text


def test_a_handful_of_updates_is_told_with_what_it_comes_to(caplog: Any) -> None:
    caplog.set_level(logging.WARNING, "optml")
    features, labels = plant(500)
    fit(features, labels, mini_batch_size=1000)
    assert "Only 1 update(s) were made, one a mini-batch of 1000 rows" in caplog.text
    assert "no weight moved by more than 0.001" in caplog.text
    caplog.clear()
    fit(features, labels, mini_batch_size=10)
    assert "update(s)" not in caplog.text


def test_early_stopping_watches_the_validation_channel(caplog: Any) -> None:
    assert learner(3).stopping() is None
    state = learner(30, early_stopping_patience=2)
    rule = state.stopping()
    assert rule is not None
    assert (rule[0].patience, rule[1]) == (2, "validation:rmse")
    assert "no effect without the channel 'validation'" in caplog.text
    caplog.clear()
    channels = ("train", "validation")
    state = learner(30, channels=channels, early_stopping_patience=2, predictor_type="binary_classifier")
    assert "no effect" not in caplog.text
    features, labels = sparse()
    names = values(list(state.evaluate("validation", batches(features, (labels > 0).astype(float), 60))))
    assert state.stopping()[1] in names  # type: ignore[index]


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.integers(0, 99), st.floats(-4, 4, width=32), max_size=6), min_size=1, max_size=80
    )
)
def test_sparse_recordio_trains_as_the_rows_in_memory(rows: list[dict[int, float]]) -> None:
    indptr = np.cumsum([0, *map(len, rows)])
    keys = np.array([key for row in rows for key in sorted(row)], np.int32)
    data = np.array([row[key] for row in rows for key in sorted(row)], np.float32)
    features = csr_array((data, keys, indptr), shape=(len(rows), 100))
    labels = np.linspace(-1, 1, len(rows))[:, None]
    body = recordio.encode(Records(features, labels))
    read = recordio.decode(body, Layout(100, 1))
    ours, theirs = learner(100), learner(100)
    ours.update(Records(features, labels.astype(np.float32).astype(np.float64)))
    theirs.update(read)
    np.testing.assert_array_equal(rows_of(ours), rows_of(theirs))
