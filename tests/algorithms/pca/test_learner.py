from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from optml.algorithms.pca.covariance import Covariance
from optml.algorithms.pca.learner import batch_rows
from optml.algorithms.pca.sketch import Sketch
from optml.errors import UserError
from optml.formats.records import Records
from tests.algorithms.hosts import _Thread, on_hosts
from tests.algorithms.pca.training import (
    COUNTIES,
    absorb,
    batches,
    counties,
    fit,
    learner,
    share_of_variance,
    singular_values,
    spread,
)
from tests.shared import needs_shared


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="optml")
    return caplog


@needs_shared(COUNTIES)
def test_the_county_job_gives_what_aws_gave_signs_included() -> None:
    rows = counties()
    model, metrics = fit(rows, num_components=33)
    leading = [6.3925138, 7.6952214, 7.9913125, 10.180052, 11.718245, 13.035975, 19.592180]
    np.testing.assert_allclose(model.s[-7:], leading, rtol=1e-5)
    assert (np.diff(model.s) >= 0).all()
    ours = model.v[[0, 1, 2, 31, 32, 33], -1]
    theirs = [0.00504590, 0.00495312, 0.00513597, -0.0634507, -0.0142857, 0.2336267]
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert model.mean is not None
    mean = [0.00988273, 0.00986636, 0.00989863, 0.11017046, 0.7560245]
    np.testing.assert_allclose(model.mean[0, :5], mean, atol=1e-7)
    projection = model.predict(Records(rows[:1]), {})["projection"][0, -7:]
    answer = [0.02589477, 0.04045159, -0.01082392, 0.12047978, -0.08835588, 0.16052711, -0.06027412]
    np.testing.assert_allclose(projection, answer, atol=2e-5)
    assert metrics["train:explained_variance_ratio"] == pytest.approx(1, abs=1e-6)


@needs_shared(COUNTIES)
def test_seven_components_capture_what_they_did_at_aws() -> None:
    _, metrics = fit(counties(), num_components=7)
    assert metrics["train:explained_variance_ratio"] == pytest.approx(0.80167, abs=1e-5)


def test_digits_have_the_components_that_scikit_learn_finds() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits().data.astype(np.float32)
    model, metrics = fit(digits, num_components=10)
    expected = [567.0066, 542.2519, 504.6306, 426.1177, 353.335]
    expected += [325.8204, 305.2616, 281.1603, 269.0698, 257.824]
    np.testing.assert_allclose(model.s[::-1], expected, rtol=1e-6)
    assert metrics["train:explained_variance_ratio"] == pytest.approx(0.738227, abs=1e-6)
    left = (1 - metrics["train:explained_variance_ratio"]) * digits.var(axis=0).sum() / 64
    assert metrics["test:reconstruction_mse"] == pytest.approx(left, rel=1e-5)


def test_randomized_digits_are_captured_nearly_as_well() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits().data.astype(np.float32)
    model, _ = fit(digits, num_components=10, algorithm_mode="randomized")
    assert share_of_variance(model, digits) >= 0.73


def test_a_large_mean_costs_no_digits() -> None:
    rng = np.random.default_rng(0)
    rows = (1e4 + rng.normal(size=(1_000_000, 8))).astype(np.float32)
    model, _ = fit(rows, num_components=8, size=65536)
    np.testing.assert_allclose(model.s, singular_values(rows, 8), rtol=1e-6)  # the issue allows 1e-3


@pytest.mark.parametrize("size", [1, 500, 10**6])
def test_how_rows_are_cut_into_batches_changes_no_value_and_no_sign(size: int) -> None:
    rows = spread(3000, 12)
    whole, _ = fit(rows, num_components=5)
    other, _ = fit(rows, num_components=5, size=size)
    np.testing.assert_allclose(other.s, whole.s, rtol=1e-6)
    np.testing.assert_allclose(other.v, whole.v, atol=1e-5)


def test_the_reader_is_asked_for_batches_of_one_size_whatever_the_user_asked_for() -> None:
    small, large = (learner(512, num_components=2, mini_batch_size=size) for size in (1, 10**6))
    assert batch_rows(small.hyperparameters) == batch_rows(large.hyperparameters) == 16384
    assert batch_rows(learner(10**7, num_components=1, algorithm_mode="randomized").hyperparameters) == 256


@pytest.mark.parametrize("mode", ["regular", "randomized"])
@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("width", [12, 200])
def test_hosts_find_the_components_of_one(mode: str, centered: bool, width: int) -> None:
    rows = spread(1500, width)
    hyperparameters = {
        "num_components": 4,
        "algorithm_mode": mode,
        "subtract_mean": centered,
        "extra_components": 30,
    }
    alone, _ = fit(rows, **hyperparameters)

    def work(cluster: _Thread) -> tuple[np.ndarray, np.ndarray, float]:
        state = learner(width, cluster=cluster, **hyperparameters)
        absorb(state, rows[: 500 if cluster.rank else 0] if cluster.rank < 2 else rows[500:])
        model, _ = state.finish()
        (metric,) = state.evaluate("test", batches(rows[cluster.rank :: cluster.size]))
        return model.s, model.v, metric.value

    exact = mode == "regular" or width == 12
    results = on_hosts(3, work)  # the first has no rows at all
    for s, v, mse in results:
        np.testing.assert_array_equal(v, results[0][1])
        assert mse == results[0][2]
        np.testing.assert_allclose(s, alone.s, rtol=1e-6 if exact else 1e-3)
        if exact:
            np.testing.assert_allclose(v, alone.v, atol=1e-5)
    assert share_of_variance(alone, rows) > 0.3


@pytest.mark.parametrize("density", [0.03, 0.5])
@pytest.mark.parametrize("centered", [True, False])
def test_sparse_rows_give_what_dense_ones_do(density: float, centered: bool) -> None:
    rng = np.random.default_rng(4)
    rows = csr_array(random_array((2000, 40), density=density, rng=rng, dtype=np.float32, format="csr"))
    rows.data *= np.linspace(1, 4, 40, dtype=np.float32)[rows.indices]
    rows.sort_indices()
    sparse, scores = fit(rows, num_components=5, subtract_mean=centered)
    dense, expected = fit(rows.toarray(), num_components=5, subtract_mean=centered)
    np.testing.assert_allclose(sparse.s, dense.s, rtol=1e-5)  # float64 products against float32 ones
    np.testing.assert_allclose(np.abs(sparse.v), np.abs(dense.v), atol=1e-4)
    assert scores["test:reconstruction_mse"] == pytest.approx(expected["test:reconstruction_mse"], rel=1e-5)


def test_sparse_rows_after_dense_ones_are_shifted_as_those_were() -> None:
    rows = spread(600, 9)
    rows[300:][np.random.default_rng(0).random((300, 9)) < 0.95] = 0
    state = learner(9, num_components=3)
    state.update(Records(rows[:300]))
    state.update(Records(csr_array(rows[300:])))
    exact = np.square(singular_values(rows, 3))
    np.testing.assert_allclose(np.square(state.finish()[0].s), exact, atol=1e-5 * exact.max())


def test_without_subtract_mean_rows_are_taken_as_they_are() -> None:
    rows = spread(500, 8)
    model, _ = fit(rows, num_components=3, subtract_mean=False)
    assert model.mean is None
    np.testing.assert_allclose(model.s, singular_values(rows, 3, centered=False), rtol=1e-6)
    answer = model.predict(Records(rows[:5]), {})["projection"]
    np.testing.assert_allclose(answer, rows[:5] @ model.v, rtol=1e-6)


@pytest.mark.parametrize(
    ("hyperparameters", "kind"),
    [
        ({"width": 512}, Covariance),
        ({"width": 100, "algorithm_mode": "randomized"}, Covariance),  # no larger than a sketch at work
        ({"width": 512, "algorithm_mode": "randomized"}, Sketch),
        ({"width": 512, "algorithm_mode": "randomized", "extra_components": 200}, Covariance),
    ],
)
def test_randomized_sketches_only_where_it_saves_memory(hyperparameters: dict[str, Any], kind: type) -> None:
    assert isinstance(learner(num_components=10, **hyperparameters).state, kind)


@pytest.mark.parametrize("mode", ["regular", "randomized"])
def test_a_resumed_job_ends_as_an_undisturbed_one(mode: str) -> None:
    hyperparameters = {"num_components": 4, "algorithm_mode": mode}
    parts = list(batches(spread(2000, 200), 300))
    whole, first = (learner(200, **hyperparameters) for _ in range(2))
    for part in parts:
        whole.update(part)
    for part in parts[:3]:
        first.update(part)
    second = learner(200, **hyperparameters)
    second.load_state_dict(first.state_dict())
    first.update(parts[0])  # what was saved is a copy
    for part in parts[3:]:
        second.update(part)
    (ours, our_metrics), (theirs, their_metrics) = second.finish(), whole.finish()
    np.testing.assert_array_equal(ours.v, theirs.v)
    np.testing.assert_array_equal(ours.s, theirs.s)
    assert list(our_metrics) == list(their_metrics)


@pytest.mark.parametrize("mode", ["regular", "randomized"])
def test_a_state_without_rows_is_saved_and_yields_no_model(mode: str) -> None:
    state = learner(200, num_components=2, algorithm_mode=mode)
    again = learner(200, num_components=2, algorithm_mode=mode)
    again.load_state_dict(state.state_dict())
    assert again.model() is None
    with pytest.raises(UserError, match="channel 'train' is empty"):
        again.finish()


def test_a_snapshot_is_the_model_of_the_rows_so_far_and_leaves_the_state_as_it_was() -> None:
    rows = spread(600, 10)
    state = learner(10, num_components=4)
    state.update(Records(rows[:3]))
    assert state.model() is None  # fewer rows than components
    state.update(Records(rows[3:]))
    before = state.state_dict()
    snapshot = state.model()
    assert snapshot is not None
    np.testing.assert_allclose(snapshot.s, singular_values(rows, 4), rtol=1e-6)
    for name, array in state.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("mode", ["regular", "randomized"])
@pytest.mark.parametrize("width", [6, 200])
def test_fewer_rows_than_components_leave_zeros_and_a_warning(
    mode: str, width: int, lines: pytest.LogCaptureFixture
) -> None:
    rows = spread(4, width)
    model, _ = fit(rows, num_components=6, algorithm_mode=mode)
    assert model.s[:3].tolist() == [0, 0, 0]
    np.testing.assert_allclose(model.s[3:], singular_values(rows, 3), rtol=1e-5)
    np.testing.assert_allclose(model.v.T @ model.v, np.eye(6), atol=1e-5)
    (warning,) = [record.getMessage() for record in lines.records if record.levelname == "WARNING"]
    assert "holds only 4 rows, of which the mean was subtracted: of the 6 components" in warning
    assert "beyond the 3 largest" in warning


def test_one_row_has_no_variance() -> None:
    model, metrics = fit(np.ones((1, 3), np.float32), num_components=2)
    assert model.s.tolist() == [0, 0]
    assert metrics == {"train:explained_variance_ratio": 1, "test:reconstruction_mse": 0}


def test_constant_and_equal_columns_are_fine() -> None:
    rows = spread(400, 5)
    rows[:, 3] = 7
    rows[:, 4] = rows[:, 0]
    model, metrics = fit(rows, num_components=5)
    assert np.isfinite(model.s).all()
    np.testing.assert_allclose(model.s, singular_values(rows, 5), atol=1e-2)  # 0 but for float32's rounding
    assert metrics["test:reconstruction_mse"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("mode", ["regular", "randomized"])
@pytest.mark.parametrize("width", [6, 200])
def test_rows_whose_squares_overflow_are_refused(mode: str, width: int) -> None:
    with pytest.raises(UserError, match="larger than float32 holds: divide features"):
        fit(spread(500, width) * np.float32(1e30), num_components=2, algorithm_mode=mode)


def test_what_no_memory_holds_is_refused_before_training() -> None:
    with pytest.raises(UserError, match=r"1000000 x 1000000 .* GiB, .* set algorithm_mode to randomized"):
        learner(1_000_000, num_components=2)
    with pytest.raises(UserError, match=r"sketch of 2000000000 rows .* lower num_components or extra"):
        learner(10**10, num_components=10**9, algorithm_mode="randomized")


def test_extra_components_of_regular_mode_are_told_to_be_idle(lines: pytest.LogCaptureFixture) -> None:
    learner(5, num_components=2, extra_components=7)
    assert "extra_components has no effect in algorithm_mode regular, whose result is exact" in lines.messages


def test_the_default_of_extra_components_may_be_given(lines: pytest.LogCaptureFixture) -> None:
    learner(5, num_components=2, extra_components=-1)
    assert not lines.messages


@pytest.mark.parametrize("scale", [0, 1e-25])
def test_rows_that_do_not_vary_in_float32_are_warned_of(
    scale: float, lines: pytest.LogCaptureFixture
) -> None:
    fit(spread(500, 5) * np.float32(scale), num_components=2)
    assert any("the components have no meaning; multiply small features" in line for line in lines.messages)


def test_no_more_than_all_of_the_variance_is_explained() -> None:
    for rows in (2, 3, 4, 5, 6):
        _, metrics = fit(spread(rows, 4), num_components=4)
        assert metrics["train:explained_variance_ratio"] <= 1


def test_the_log_names_what_aws_names(lines: pytest.LogCaptureFixture) -> None:
    fit(spread(1500, 5), num_components=2)
    assert lines.messages == [
        "The default executor is <PCAExecutor on cpu(0)>.",
        "5 feature(s) found in 'data'.",
        "<PCAExecutor on cpu(0)> is assigned to batch slice from 0 to 499.",
    ]
