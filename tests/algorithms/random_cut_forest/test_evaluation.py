from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.random_cut_forest.evaluation import measure


def test_three_sigma_decides_and_all_metrics_follow() -> None:
    scores = np.array([1.0] * 96 + [9, 9, 9, 1.0])
    labels = np.array([False] * 97 + [True] * 3)
    assert measure(scores, labels) == pytest.approx(
        {
            "accuracy": 0.98,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "f1": 2 / 3,
            "negative_precision": 96 / 97,
            "negative_recall": 96 / 97,
            "negative_f1": 96 / 97,
            "roc_auc": (2 * (96 + 0.5) + 96 * 0.5) / (3 * 97),
        }
    )


def test_nothing_found_is_no_division_by_zero() -> None:
    metrics = measure(np.ones(4), np.array([True, False, False, False]))
    assert (metrics["precision"], metrics["recall"], metrics["f1"]) == (0, 0, 0)
    assert metrics["roc_auc"] == 0.5


def test_one_class_has_no_area_under_the_curve() -> None:
    assert "roc_auc" not in measure(np.ones(4), np.zeros(4, np.bool_))


def test_the_area_is_that_of_scikit_learn() -> None:
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    rng = np.random.default_rng(0)
    labels = rng.random(500) < 0.1
    scores = np.round(rng.normal(size=500) + labels, 1)  # with ties
    assert measure(scores, labels)["roc_auc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
