"""How good the models are: the bounds of the specification, beside scikit-learn's exact solvers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, mean_pinball_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import tables
from optml.formats.records import Records
from tests.algorithms.linear_learner.jobs import Pair, Trained, fit
from tests.shared import needs_shared


def split(features: np.ndarray, labels: np.ndarray) -> tuple[Pair, Pair, Pair]:
    """70 % to train on, 15 % to validate, 15 % to test."""
    order = np.random.RandomState(0).permutation(len(labels))
    parts = np.split(order, [int(0.7 * len(order)), int(0.85 * len(order))])
    first, second, third = ((features[part].astype(np.float32), labels[part]) for part in parts)
    return first, second, third


def train_model(data: tuple[np.ndarray, np.ndarray], kind: str, **hyperparameters: object) -> Trained:
    return fit(*split(*data), predictor_type=kind, mini_batch_size=32, **hyperparameters)


def test_breast_cancer_is_told_as_well_as_an_exact_solver_tells_it() -> None:
    metrics = train_model(load_breast_cancer(return_X_y=True), "binary_classifier").metrics
    assert metrics["test:binary_classification_accuracy"] >= 0.976
    assert metrics["test:roc_auc_score"] >= 0.99


def test_digits_are_told_as_well_as_an_exact_solver_tells_them() -> None:
    job = train_model(load_digits(return_X_y=True), "multiclass_classifier", num_classes=10)
    assert job.metrics["test:multiclass_accuracy"] >= 0.962


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_a_few_thousand_rows_are_ranked_as_an_exact_solver_ranks_them(share: float) -> None:
    """With AWS's defaults: batches of 1000, models chosen by accuracy."""
    features, labels = make_classification(
        8000, n_features=20, n_informative=8, weights=[1 - share], flip_y=0.02, random_state=0
    )
    features = features.astype(np.float32)
    train, validation, test = (
        (features[part], labels[part]) for part in (slice(0, 4320), slice(4320, 5400), slice(5400, 8000))
    )
    metrics = fit(train, validation, test, predictor_type="binary_classifier").metrics
    exact = make_pipeline(StandardScaler(), LogisticRegression()).fit(*train)
    probability = exact.predict_proba(test[0])[:, 1]
    assert metrics["test:roc_auc_score"] >= roc_auc_score(test[1], probability) - 0.003
    assert metrics["test:objective_loss"] <= log_loss(test[1], probability) + 0.003


def test_diabetes_is_regressed_nearly_as_least_squares_do() -> None:
    metrics = train_model(load_diabetes(return_X_y=True), "regressor").metrics
    assert metrics["test:mse"] <= 3230
    assert metrics["test:rmse"] == pytest.approx(metrics["test:mse"] ** 0.5)


@pytest.mark.parametrize(("quantile", "exact"), [(0.1, 8.728), (0.5, 21.607), (0.9, 8.999)])
def test_a_quantile_has_its_share_of_the_labels_below(quantile: float, exact: float) -> None:
    data = load_diabetes(return_X_y=True)
    job = train_model(data, "regressor", loss="quantile_loss", quantile=quantile)
    (features, labels), _, _ = split(*data)
    score = job.model.predict(Records(features), {})["score"]
    assert (labels <= score).mean() == pytest.approx(quantile, abs=0.05)
    assert mean_pinball_loss(labels, score, alpha=quantile) <= 1.10 * exact


@needs_shared("data/mnist")
def test_the_digit_0_is_told_as_well_as_aws_told_it() -> None:
    table = tables.mnist(0)
    job = fit(table.train, table.validation, table.test, predictor_type=table.kind, mini_batch_size=200)
    assert job.metrics["test:binary_classification_accuracy"] >= 0.990
