from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from optml.algorithms.knn.model import Model
from optml.errors import UserError
from optml.formats.records import Origin, Records
from tests.algorithms.hosts import _Thread, on_hosts
from tests.algorithms.knn.training import batches, blobs, fit, learner, run, values
from tests.shared import SHARED, needs_shared


def digits(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The first 70 % and the last 15 % of scikit-learn's rows, shuffled as the specification says."""
    data = getattr(pytest.importorskip("sklearn.datasets"), f"load_{name}")()
    order = np.random.RandomState(0).permutation(len(data.data))
    rows, labels = data.data[order].astype(np.float32), data.target[order].astype(np.float64)
    train, test = int(0.7 * len(rows)), int(0.85 * len(rows))
    return rows[:train], labels[:train], rows[test:], labels[test:]


@pytest.mark.parametrize(
    ("k", "accuracy", "slack"), [(1, 0.9889, 1e-4), (5, 0.9963, 1e-4), (10, 0.9889, 0.01)]
)
def test_digits_are_told_apart_as_by_scikit_learn(k: int, accuracy: float, slack: float) -> None:
    _, metrics = run(*digits("digits"), k=k)  # another tie rule matters for even k
    assert metrics["test:accuracy"] == pytest.approx(accuracy, abs=slack)
    assert metrics["test:macro_f_beta"] == pytest.approx(accuracy, abs=0.02)


@pytest.mark.parametrize(("k", "mse"), [(5, 3588), (10, 3294), (20, 3385)])
def test_diabetes_is_predicted_as_by_scikit_learn(k: int, mse: float) -> None:
    _, metrics = run(*digits("diabetes"), k=k, predictor_type="regressor")
    assert metrics == {"test:mse": pytest.approx(mse, rel=1e-3)}


@pytest.mark.slow
@needs_shared("data/mnist/mnist.npz")
def test_mnist_is_told_apart_as_by_faiss() -> None:
    data = np.load(SHARED / "data/mnist/mnist.npz")
    rows, test_rows = (data[name].astype(np.float32) / 255 for name in ("x_train", "x_test"))
    model = fit(rows, data["y_train"].astype(np.float64), k=10, mini_batch_size=5000)
    near = model.neighbours(test_rows)
    for k, accuracy in ((1, 0.9691), (5, 0.9688), (10, 0.9665)):
        # The reference gives ties to the smallest label; ours, to the nearest neighbour's, does no worse.
        votes = (near.labels[:, :k, None] == np.arange(10)).sum(axis=1).argmax(axis=1)
        assert (votes == data["y_test"]).mean() == pytest.approx(accuracy, abs=5e-5)
        assert (model.judge(near, k) == data["y_test"]).mean() >= accuracy


def split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The 80/20 split of the references in ../shared/data/tabular/README.md."""
    order = np.random.default_rng(0).permutation(count)
    return order[: int(0.8 * count)], order[int(0.8 * count) :]


def standardise(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    return ((features - features[train].mean(axis=0)) / features[train].std(axis=0)).astype(np.float32)


@needs_shared("data/tabular/statlog_shuttle.trn.gz")
def test_shuttle_positions_are_told_as_by_scikit_learn() -> None:
    table = np.loadtxt(SHARED / "data/tabular/statlog_shuttle.trn.gz")
    train, test = split(len(table))
    rows, labels = standardise(table[:, :-1], train), table[:, -1]
    _, metrics = run(rows[train], labels[train], rows[test], labels[test], k=5, mini_batch_size=5000)
    assert metrics["test:accuracy"] == pytest.approx(0.9986, abs=1e-4)


@needs_shared("data/tabular/california_housing.csv.gz")
def test_house_values_are_predicted_as_by_scikit_learn() -> None:
    path = SHARED / "data/tabular/california_housing.csv.gz"
    numbers = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=range(9))
    places = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=9, dtype=str)
    features = np.where(np.isnan(numbers), np.nanmedian(numbers, axis=0), numbers)[:, :8]
    features = np.c_[features, places[:, None] == np.unique(places)]
    train, test = split(len(numbers))
    rows, labels = standardise(features, train), numbers[:, 8]
    hyperparameters = {"k": 10, "predictor_type": "regressor", "mini_batch_size": 5000}
    _, metrics = run(rows[train], labels[train], rows[test], labels[test], **hyperparameters)
    # The reference's way to encode places and gaps is told in words alone.
    assert metrics["test:mse"] ** 0.5 == pytest.approx(59_248, rel=1e-3)


def test_the_log_reads_as_at_aws(caplog: pytest.LogCaptureFixture) -> None:
    rows, labels = blobs(250)
    rows[7, 2] = np.nan
    with caplog.at_level(logging.INFO, logger="optml"):
        run(rows, labels, rows[:5], labels[:5], sample_size=200)
    messages = caplog.messages
    assert messages[0].startswith("Using per-worker sample size = 200 (Available virtual memory = ")
    assert messages[1:3] == [
        "Getting reservoir sample from algo-1...",
        "...Got reservoir sample from algo-1: data=(200, 6), labels=(200,), NaNs=1",
    ]
    assert messages[4:] == [
        "Training index...",
        "...Finished training index in 0 second(s)",
        "Adding data to index...",
        "...Finished adding data to index in 0 second(s)",
        "Searching index...",
        "...Done searching index in 0 second(s)",
        "test accuracy by the number of neighbours: k=1: 1, k=2: 1, k=3: 1",
    ]


def test_rows_with_nan_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    rows, labels = blobs(300)
    holes = rows.copy()
    holes[[3, 150], [0, 5]] = np.nan
    usable = np.delete(np.arange(300), [3, 150])
    model = fit(holes, labels)
    assert "2 rows of channel 'train' hold NaN" in caplog.text
    np.testing.assert_array_equal(model.labels, labels[usable])
    answers = model.predict(Records(rows[[4, 149, 151]]), {"indices": "true"})
    assert answers["indices"][:, 0].tolist() == [3, 148, 149]
    _, metrics = run(rows, labels, holes[:10], labels[:10], k=1)
    assert metrics["test:accuracy"] == 1  # of nine


def test_a_sample_of_the_rows_is_kept() -> None:
    rows, labels = blobs(1000)
    model, metrics = run(rows, labels, rows, labels, sample_size=120)
    assert len(model.labels) == len(model.index) == 120
    assert metrics["test:accuracy"] > 0.95


def test_macro_f_counts_only_labels_that_occur() -> None:
    rows, labels = blobs(400)
    _, metrics = run(rows, labels + 5, rows[:50], labels[:50] + 5)
    assert metrics["test:macro_f_beta"] == pytest.approx(1)


def test_macro_f_is_that_of_scikit_learn() -> None:
    f1_score = pytest.importorskip("sklearn.metrics").f1_score
    rows, labels = blobs(500)
    noisy = np.random.default_rng(0).permutation(labels[400:])
    model, metrics = run(rows[:400], labels[:400], rows[400:], noisy)
    answers = model.predict(Records(rows[400:]), {})["predicted_label"]
    assert metrics["test:macro_f_beta"] == pytest.approx(f1_score(noisy, answers, average="macro"))
    assert metrics["test:accuracy"] == pytest.approx((answers == noisy).mean())


def test_labels_are_neither_rounded_nor_numbered_anew() -> None:
    rows, _ = blobs(50)
    labels = np.arange(50) * 1000.5 - 7
    model = fit(rows, labels, k=1)
    np.testing.assert_array_equal(model.predict(Records(rows), {})["predicted_label"], labels)


def snapshot(state: Any) -> Model:
    model = state.model()
    assert isinstance(model, Model)
    return model


@pytest.mark.parametrize("sample_size", [80, 10_000])
def test_a_resumed_job_ends_as_an_undisturbed_one(sample_size: int) -> None:
    rows, labels = blobs(700)
    hyperparameters = {
        "sample_size": sample_size,
        "dimension_reduction_type": "fjlt",
        "dimension_reduction_target": 4,
    }
    parts = list(batches(rows, labels, 100))
    whole, first = (learner(seed=7, **hyperparameters) for _ in range(2))
    for part in parts:
        whole.update(part)
    for part in parts[:3]:
        first.update(part)
    second = learner(seed=99, **hyperparameters)
    second.load_state_dict(first.state_dict())
    first.update(parts[0])  # what was saved is a copy
    for part in parts[3:]:
        second.update(part)
    ours, theirs = second.finish()[0], whole.finish()[0]
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    queries = Records(rows[:9])
    np.testing.assert_array_equal(ours.neighbours(queries.dense())[0], theirs.neighbours(queries.dense())[0])


def test_a_state_without_rows_can_be_saved() -> None:
    again = learner(seed=5)
    again.load_state_dict(learner().state_dict())
    assert again.model() is None


def test_a_snapshot_leaves_the_state_as_it_was() -> None:
    rows, labels = blobs(300)
    state = learner(sample_size=100)
    for part in batches(rows, labels, 100):
        state.update(part)
    before = state.state_dict()
    assert len(snapshot(state).labels) == 100
    for name, array in state.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_two_hosts_equal_one_where_all_rows_are_kept() -> None:
    rows, labels = blobs(730)
    rows[11] = np.nan

    def work(cluster: _Thread) -> tuple[Model, dict[str, float]]:
        state = learner(cluster=cluster)
        for part in list(batches(rows, labels, 100))[cluster.rank :: cluster.size]:
            state.update(part)
        model, _ = state.finish()
        mine = list(batches(rows[100:], labels[100:], 100))[cluster.rank :: cluster.size]
        return model, values([*state.evaluate("test", mine)])

    ((alone, scores),) = on_hosts(1, work)
    for model, metrics in on_hosts(2, work):
        np.testing.assert_array_equal(model.labels, alone.labels)
        np.testing.assert_array_equal(model.neighbours(rows[:5])[2], alone.neighbours(rows[:5])[2])
        assert metrics == pytest.approx(scores)


def test_a_host_without_rows_takes_part() -> None:
    rows, labels = blobs(150)

    def work(cluster: _Thread) -> int:
        state = learner(cluster=cluster, dimension_reduction_type="sign", dimension_reduction_target=2)
        for part in batches(rows, labels, 100) if cluster.rank else ():
            state.update(part)
        model, _ = state.finish()
        metrics = state.evaluate("test", batches(rows, labels, 100) if cluster.rank else ())
        assert values([*metrics])["test:accuracy"] > 0.8  # by chance 0.25
        return len(model.labels)

    assert on_hosts(2, work) == [150, 150]


def test_hosts_with_rows_of_different_widths_are_told() -> None:
    def work(cluster: _Thread) -> None:
        state = learner(cluster=cluster)
        for part in batches(*blobs(100, width=5 + cluster.rank), 100):
            state.update(part)
        with pytest.raises(UserError, match="rows of 5 and 6 features"):
            state.finish()

    on_hosts(2, work)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"row 1 of train/a\.csv has no label: CSV needs the label first .*label_size=1"),
        (np.zeros((3, 2)), r"row 1 of train/a\.csv has 2 labels, but a row has one: use label_size=1"),
        (np.array([[0], [np.nan], [1]]), r"row 2 of train/a\.csv has no label, or nan for one"),
        (np.array([[0], [1], [-1e39]]), r"row 3 of train/a\.csv has no label, or -1e\+39 for one"),
    ],
)
def test_missing_labels_are_the_users_to_add(labels: np.ndarray | None, message: str) -> None:
    origins = ((0, Origin("train/a.csv", unit="row")),)
    with pytest.raises(UserError, match=message):
        learner().update(Records(np.zeros((3, 2), np.float32), labels, origins=origins))


def test_numbers_beyond_squares_are_named_past_rows_that_are_left_out() -> None:
    rows, labels = blobs(10)
    rows[2], rows[5, 1] = np.nan, -3e18
    with pytest.raises(UserError, match=r"record 6 holds -3e\+18 in feature 2; beyond 1e\+15"):
        fit(rows, labels)


def test_stopped_before_there_are_rows_enough_there_is_no_model(caplog: pytest.LogCaptureFixture) -> None:
    state = learner(index_type="faiss.IVFPQ")
    state.update(next(batches(*blobs(200), 100)))
    assert state.model() is None
    assert "codebooks of 8 bits need at least 256 points" in caplog.text


def test_no_rows_but_those_with_nan_are_no_training_data() -> None:
    rows, labels = blobs(10)
    with pytest.raises(UserError, match="no row to learn from: each of its 10 rows has a NaN"):
        fit(rows * np.nan, labels)


def test_test_rows_that_all_have_a_nan_cannot_be_scored() -> None:
    rows, labels = blobs(10)
    with pytest.raises(UserError, match="channel 'test' holds no row to score: each has a NaN"):
        run(rows, labels, rows * np.nan, labels)


def test_a_target_that_is_no_reduction_is_refused() -> None:
    with pytest.raises(UserError, match="target is 6, but there are 6 features"):
        fit(*blobs(10), dimension_reduction_type="sign", dimension_reduction_target=6)


def test_test_rows_of_another_width_are_refused() -> None:
    rows, labels = blobs(10)
    with pytest.raises(UserError, match="has 5 features, but those of channel 'train' have 6"):
        run(rows, labels, rows[:, :5], labels)


@pytest.mark.parametrize(
    ("labels", "hyperparameters", "message"),
    [
        (np.zeros(20), {"k": 30}, "k is 30, but the index holds only 20 points"),
        (np.full(20, 2.0**25), {}, "labels go up to 33554432, but they are kept as float32"),
        (np.arange(10_050) + 0.5, {}, "there are 10050 distinct labels that are no whole numbers"),
    ],
)
def test_what_looks_like_a_mistake_is_told(
    caplog: pytest.LogCaptureFixture, labels: np.ndarray, hyperparameters: dict[str, int], message: str
) -> None:
    fit(np.zeros((len(labels), 1), np.float32), labels, **hyperparameters)
    assert message in caplog.text
