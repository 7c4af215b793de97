from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.xgboost.metrics import classes, confusion, function, of_confusion, of_sums, sums
from optml.algorithms.xgboost.names import CLASSIFICATION

sklearn = pytest.importorskip("sklearn.metrics")

PEERS = {
    "accuracy": lambda y, p: sklearn.accuracy_score(y, p),
    "balanced_accuracy": lambda y, p: sklearn.recall_score(
        y, p, labels=np.unique(y), average="macro", zero_division=0
    ),
    "f1": lambda y, p: sklearn.f1_score(y, p, average="macro", zero_division=0),
    "f1_macro": lambda y, p: sklearn.f1_score(y, p, average="macro", zero_division=0),
    "precision_macro": lambda y, p: sklearn.precision_score(y, p, average="macro", zero_division=0),
    "precision_micro": lambda y, p: sklearn.precision_score(y, p, average="micro", zero_division=0),
    "recall_macro": lambda y, p: sklearn.recall_score(y, p, average="macro", zero_division=0),
    "recall_micro": lambda y, p: sklearn.recall_score(y, p, average="micro", zero_division=0),
}
BINARY = {
    "f1_binary": lambda y, p: sklearn.f1_score(y, p, zero_division=0),
    "precision": lambda y, p: sklearn.precision_score(y, p, zero_division=0),
    "recall": lambda y, p: sklearn.recall_score(y, p, zero_division=0),
}
PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30)


def test_every_metric_of_classes_has_a_peer() -> None:
    assert {*PEERS, *BINARY} == CLASSIFICATION


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_metrics_of_classes_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, answers = np.array(pairs).T
    table = confusion(labels.astype(float), answers, 3)
    for name, peer in PEERS.items():
        assert of_confusion(name, table) == pytest.approx(peer(labels, answers)), name
    two = confusion((labels > 0).astype(float), (answers > 0).astype(int), 2)
    for name, peer in BINARY.items():
        assert of_confusion(name, two) == pytest.approx(peer(labels > 0, answers > 0)), name


def test_metrics_of_numbers_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, answers = rng.normal(size=50), rng.normal(size=50)
    totals = sums(labels[:20], answers[:20]) + sums(labels[20:], answers[20:])  # two hosts
    assert of_sums("mse", totals) == pytest.approx(sklearn.mean_squared_error(labels, answers))
    assert of_sums("rmse", totals) == pytest.approx(sklearn.mean_squared_error(labels, answers) ** 0.5)
    assert of_sums("mae", totals) == pytest.approx(sklearn.mean_absolute_error(labels, answers))
    assert of_sums("r2", totals) == pytest.approx(sklearn.r2_score(labels, answers))


def test_classes_are_read_on_the_final_scale() -> None:
    assert classes(np.array([0.2, 0.7, 0.5]), "binary:logistic").tolist() == [0, 1, 0]
    assert classes(np.array([-0.1, 0.2]), "binary:logitraw").tolist() == [0, 1]
    assert classes(np.array([2.0, 0.0]), "multi:softmax").tolist() == [2, 0]
    assert classes(np.array([[0.1, 0.6, 0.3]]), "multi:softprob").tolist() == [1]


class Matrix:
    def __init__(self, labels: list[float]) -> None:
        self.labels = np.array(labels)

    def get_label(self) -> np.ndarray:
        return self.labels


def test_hosts_together_print_what_one_would() -> None:
    """f1 of unequal shards is not the mean of theirs: the counts are what adds up."""
    parts = [(Matrix([0, 0, 1]), np.array([0.1, 0.9, 0.8])), (Matrix([1]), np.array([0.2]))]
    names = ["f1", "r2"]
    messages: list[list[np.ndarray]] = [[], []]
    for host, (matrix, predictions) in enumerate(parts):
        measure = function(names, "binary:logistic", None, lambda a, host=host: messages[host].append(a) or a)
        assert measure is not None
        measure(predictions, matrix)
    answers = iter([sum(pair) for pair in zip(*messages, strict=True)])
    together = function(names, "binary:logistic", None, lambda a: next(answers))
    assert together is not None
    labels, predictions = [0, 0, 1, 1], np.array([0.1, 0.9, 0.8, 0.2])
    expected = {
        "f1": sklearn.f1_score(labels, predictions > 0.5, average="macro"),
        "r2": sklearn.r2_score(labels, predictions),
    }
    assert dict(together(*reversed(parts[0]))) == pytest.approx(expected)  # type: ignore[arg-type]


def test_numbers_of_classes_are_measured_on_the_class() -> None:
    measure = function(["mse", "accuracy"], "multi:softprob", 3, lambda a: a)
    assert measure is not None
    values = dict(measure(np.array([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]), Matrix([0, 0])))
    assert values == {"mse": 2.0, "accuracy": 0.5}


def test_no_metric_of_ours_is_no_function() -> None:
    assert function([], "reg:squarederror", None, lambda a: a) is None
