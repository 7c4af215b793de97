from __future__ import annotations

import logging

import numpy as np
import pytest

from optml.algorithms.random_cut_forest.model import Model
from optml.errors import UserError
from optml.formats.records import Origin, Records
from tests.algorithms.hosts import _Thread, on_hosts
from tests.algorithms.random_cut_forest.training import absorb, batches, fit, learner


def normal(rows: int, width: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def same(one: Model, other: Model) -> None:
    for name in ("first", "points", "masses", "children", "dimensions", "cuts"):
        np.testing.assert_array_equal(getattr(one.forest, name), getattr(other.forest, name))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="optml")
    return caplog


def test_an_outlier_scores_higher_than_the_rest() -> None:
    model = fit(normal(20_000), num_trees=100)
    scores = model.predict(Records(np.array([[0, 0, 0], [8, 8, 8]], np.float32)), {})["score"]
    assert scores.dtype == np.float32
    assert scores[0] < 1 < 3 < scores[1] < np.log2(257)


def test_few_rows_are_cut_into_runs_of_equal_length_in_order_of_arrival() -> None:
    rows = normal(1049)
    forest = fit(rows).forest
    assert forest.rows == 20
    for tree in range(50):
        points = forest.points[forest.first[tree] : forest.first[tree + 1]]
        expected = rows[20 * tree : 20 * tree + 20]
        np.testing.assert_array_equal(points[np.lexsort(points.T)], expected[np.lexsort(expected.T)])


def test_many_rows_fill_every_tree_from_everywhere() -> None:
    rows = np.arange(20_000, dtype=np.float32)[:, None]
    forest = fit(rows, num_samples_per_tree=100).forest
    assert forest.rows == 100
    assert len(np.unique(forest.points)) == 5000  # no row twice
    means = [forest.points[forest.first[tree] : forest.first[tree + 1]].mean() for tree in range(50)]
    assert np.abs(np.array(means) / 10_000 - 1).max() < 0.3  # 0.058 from tree to tree


def test_sorted_rows_are_told_of_and_shuffled_on_demand(
    lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.arange(1000, dtype=np.float32)[:, None]
    blocks = fit(rows).forest
    assert "OPTML_RCF_SHUFFLE=1" in lines.text
    assert blocks.points[:20].max() == 19
    lines.clear()
    monkeypatch.setenv("OPTML_RCF_SHUFFLE", "1")
    shuffled = fit(rows).forest
    assert "OPTML_RCF_SHUFFLE" not in lines.text
    assert shuffled.points[:20].max() > 500
    fit(normal(1000))
    fit(np.ones((1000, 1), np.float32))
    assert "sorted" not in lines.text


def test_a_feature_that_swamps_the_others_is_named(lines: pytest.LogCaptureFixture) -> None:
    fit(normal(500) * np.float32([1, 1000, 1]))
    assert "feature 1 (counted from 0) holds 99.8 % of the summed ranges of all 3" in lines.text
    lines.clear()
    fit(normal(500) * np.float32([1, 3, 1]))
    fit(normal(500, width=1))
    assert "summed ranges" not in lines.text


def test_the_log_reads_as_at_aws(lines: pytest.LogCaptureFixture) -> None:
    rows = normal(1049)
    fit(rows, num_samples_per_tree=512)
    text = "\n".join(lines.messages)
    for line in (
        "Estimated sample size in bytes: 1536000",
        "Memory limits validated.",
        "Sampling training data completed.",
        "1049 samples gathered",
        "Random Cut Forest built:\n\nForestInfo{num_trees: 50, num_samples_in_forest: 1000, "
        "num_samples_per_tree: 20, sample_dim: 3, shingle_size: 1, trees_num_nodes: [39, 39, ",
        "max_num_nodes: 39, min_num_nodes: 39, avg_num_nodes: 39, max_tree_depth: ",
    ):
        assert line in text
    fit(rows, num_trees=101)
    assert lines.text.count("39, ...]") == 0
    assert lines.text.count("19, ...], trees_depth") == 1  # 10 rows a tree, and a list cut short


def test_the_same_seed_gives_the_same_forest_and_another_seed_another() -> None:
    rows = normal(3000)
    first, again, other = (fit(rows, num_samples_per_tree=30, seed=seed) for seed in (1, 1, 2))
    same(first, again)
    assert not np.array_equal(first.forest.cuts[:20], other.forest.cuts[:20])


def test_sparse_rows_give_what_dense_ones_give() -> None:
    from scipy.sparse import csr_array

    rows = normal(200) * (normal(200, seed=1) > 0)
    state = learner(3)
    state.update(Records(csr_array(rows)))
    same(state.finish()[0], fit(rows))


def test_a_resumed_job_ends_as_an_undisturbed_one() -> None:
    rows = normal(9000)
    parts = list(batches(rows))
    first, second = learner(3, num_samples_per_tree=40, seed=7), learner(3, num_samples_per_tree=40, seed=99)
    for part in parts[:4]:
        first.update(part)
    second.load_state_dict(first.state_dict())
    for part in parts[4:]:
        second.update(part)
    same(second.finish()[0], fit(rows, num_samples_per_tree=40, seed=7))


def test_a_snapshot_is_a_model_and_leaves_the_state_as_it_was() -> None:
    state = learner(3)
    assert state.model() is None
    state.update(Records(normal(49)))
    assert state.model() is None
    state.update(Records(normal(451, seed=1)))
    before = state.state_dict()
    snapshot = state.model()
    assert snapshot is not None
    assert snapshot.forest.rows == 10
    for name, array in state.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_two_hosts_whose_sample_holds_all_rows_grow_the_forest_of_one() -> None:
    rows = normal(2000)
    shards = [rows[:1700], rows[1700:]]

    def work(cluster: _Thread) -> Model:
        return absorb(learner(3, cluster=cluster), shards[cluster.rank]).finish()[0]

    for model in on_hosts(2, work):
        same(model, fit(rows))


def test_two_hosts_score_a_test_channel_together() -> None:
    rows, labels = normal(2000), np.arange(2000) % 100 == 0
    rows[labels] += 6

    def metrics(cluster: _Thread) -> dict[str, float]:
        part = slice(cluster.rank, None, cluster.size)
        state = absorb(learner(3, cluster=cluster), rows if cluster.rank == 0 else rows[:0])
        state.finish()
        return {m.name: m.value for m in state.evaluate("test", batches(rows[part], labels[part], 100))}

    (alone,) = on_hosts(1, metrics)
    assert alone["test:recall"] > 0.9
    for together in on_hosts(2, metrics):
        assert together == pytest.approx(alone)


@pytest.mark.parametrize(
    ("eval_metrics", "tuned", "names"),
    [
        (["accuracy"], None, {"accuracy", "roc_auc"}),
        (["accuracy"], "test:f1", {"accuracy", "f1", "roc_auc"}),
        (
            ["precision_recall_fscore"],
            None,
            {"f1", "precision", "recall", "negative_f1", "negative_precision", "negative_recall", "roc_auc"},
        ),
    ],
)
def test_metrics_are_those_asked_for(eval_metrics: list[str], tuned: str | None, names: set[str]) -> None:
    rows = normal(200)
    state = absorb(learner(3, eval_metrics=eval_metrics, tuned=tuned), rows)
    state.finish()
    metrics = state.evaluate("test", batches(rows, np.arange(200) < 4))
    assert {metric.name for metric in metrics} == {f"test:{name}" for name in names}


def test_labels_of_one_kind_are_told_of(lines: pytest.LogCaptureFixture) -> None:
    rows = normal(200)
    state = absorb(learner(3), rows)
    state.finish()
    metrics = {metric.name: metric.value for metric in state.evaluate("test", batches(rows, np.zeros(200)))}
    assert "every label of channel 'test' is 0 (normal)" in lines.text
    assert metrics["test:f1"] == 0
    assert "test:roc_auc" not in metrics


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, r"needs one label for every row.*row 1 of test/a\.csv has none.*label_size=1"),
        (np.array([[0.0], [2.0]]), r"^row 2 of test/a\.csv has label 2; expected 1 for an anomaly or 0"),
        (np.zeros((2, 2)), "has 2 of them"),
    ],
)
def test_labels_that_are_no_labels_are_refused(labels: np.ndarray | None, message: str) -> None:
    state = absorb(learner(3), normal(100))
    state.finish()
    batch = Records(normal(2), labels, origins=((0, Origin("test/a.csv", 1, "row")),))
    with pytest.raises(UserError, match=message):
        state.evaluate("test", [batch])


def test_fewer_rows_than_trees_are_the_users_error() -> None:
    state = absorb(learner(3), normal(30))
    with pytest.raises(UserError, match=r"30 rows of channel 'train' cannot fill 50 trees: add data"):
        state.finish()


def test_one_row_a_tree_scores_all_alike() -> None:
    model = fit(normal(60))
    np.testing.assert_array_equal(model.scores(normal(5, seed=3)), 1)


def test_a_forest_that_no_memory_holds_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optml.memory.available", lambda device="cpu": 16 << 30)
    with pytest.raises(UserError) as error:
        learner(10_000, num_trees=1000, num_samples_per_tree=2048)
    for part in (
        "1000 * 2048 = 2048000 rows",
        "458 GiB",
        "has 16 GiB",
        "lower num_samples_per_tree",
    ):
        assert part in str(error.value)
