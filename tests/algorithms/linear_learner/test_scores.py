from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as theirs

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.model import answers_of
from optml.algorithms.linear_learner.scores import Scores
from optml.errors import UserError
from tests.algorithms.hosts import on_hosts

rng = np.random.default_rng(0)


def hyperparameters(predictor_type: str, **options: Any) -> Hyperparameters:
    return Hyperparameters(predictor_type=predictor_type, **options)  # type: ignore[arg-type]


def scores_of(z: np.ndarray, labels: np.ndarray, setting: Hyperparameters, **options: Any) -> Scores:
    """Scores that absorbed (n, M, C) in batches of 100."""
    scores = Scores(setting, z.shape[1], z.shape[2], **options)
    for start in range(0, len(z), 100):
        scores.add(z[start : start + 100], labels[start : start + 100])
    return scores


def values(scores: Scores, channel: str = "test", threshold: float = 0.5) -> dict[str, float]:
    return {metric.name.partition(":")[2]: metric.value for metric in scores.metrics(channel, threshold)}


def binary(models: int = 1, rows: int = 950) -> tuple[np.ndarray, np.ndarray]:
    labels = (rng.random(rows) < 0.4).astype(np.float64)
    z = (2 * rng.normal(size=(rows, models)) + labels[:, None]).round(1)  # so that many are equal
    return z[:, :, None].astype(np.float32), labels


def test_binary_metrics_are_those_of_scikit_learn() -> None:
    z, labels = binary()
    metrics = values(scores_of(z, labels, hyperparameters("binary_classifier", f_beta=2.0)), threshold=0.4)
    score = answers_of(z, "logistic")[:, 0, 0]
    answers = score > np.float32(0.4)
    expected = {
        "objective_loss": theirs.log_loss(labels, score.astype(np.float64)),
        "binary_classification_accuracy": theirs.accuracy_score(labels, answers),
        "binary_f_beta": theirs.fbeta_score(labels, answers, beta=2),
        "precision": theirs.precision_score(labels, answers),
        "recall": theirs.recall_score(labels, answers),
        "roc_auc_score": theirs.roc_auc_score(labels, score),
    }
    assert list(metrics) == list(expected)  # in AWS's order
    assert metrics == pytest.approx(expected, rel=1e-6)  # scores are float32


def test_multiclass_metrics_are_those_of_scikit_learn() -> None:
    labels = rng.choice([0, 1, 2, 4], size=950, p=[0.5, 0.3, 0.15, 0.05]).astype(np.float64)
    z = rng.normal(size=(950, 1, 6)).astype(np.float32)
    z[np.arange(950), 0, labels.astype(int)] += 1
    z[:, 0, 5] -= 9  # a class that neither labels nor predictions hold
    parameters = hyperparameters("multiclass_classifier", num_classes=6, accuracy_top_k=2, f_beta=0.5)
    metrics = values(scores_of(z, labels, parameters))
    answers = z[:, 0].argmax(axis=1)
    probabilities = answers_of(z.astype(np.float64), "softmax_loss")[:, 0]
    ranks = 1 + (z[:, 0] > z[np.arange(950), 0, labels.astype(int)][:, None]).sum(axis=1)
    macro: dict[str, Any] = {"average": "macro", "zero_division": 0}
    classes = np.arange(6)
    expected = {
        "objective_loss": theirs.log_loss(labels, probabilities, labels=classes),
        "multiclass_accuracy": theirs.accuracy_score(labels, answers),
        "multiclass_top_k_accuracy": theirs.top_k_accuracy_score(labels, probabilities, k=2, labels=classes),
        "dcg": np.mean(1 / np.log2(1 + ranks)),
        "macro_recall": theirs.recall_score(labels, answers, **macro),
        "macro_precision": theirs.precision_score(labels, answers, **macro),
        "macro_f_beta": theirs.fbeta_score(labels, answers, beta=0.5, **macro),
        "multiclass_balanced_accuracy": np.mean(
            theirs.recall_score(labels, answers, labels=[0, 1, 2, 4], average=None)
        ),
        "multiclass_log_loss": theirs.log_loss(labels, probabilities, labels=classes),
    }
    assert list(metrics) == list(expected)
    assert metrics == pytest.approx(expected, rel=1e-9)


def test_regression_metrics_are_those_of_scikit_learn() -> None:
    labels = 5 + rng.normal(size=950)
    z = (labels + rng.normal(size=950)).astype(np.float32)[:, None, None]
    metrics = values(scores_of(z, labels, hyperparameters("regressor", loss="quantile_loss", quantile=0.9)))
    expected = {
        "objective_loss": theirs.mean_pinball_loss(labels, z[:, 0, 0], alpha=0.9),
        "mse": theirs.mean_squared_error(labels, z[:, 0, 0]),
        "absolute_loss": theirs.mean_absolute_error(labels, z[:, 0, 0]),
        "rmse": theirs.root_mean_squared_error(labels, z[:, 0, 0]),
    }
    assert list(metrics) == list(expected)
    assert metrics == pytest.approx(expected, rel=1e-6)


def test_names_and_tokens_are_those_of_the_channel() -> None:
    z, labels = binary()
    metrics = scores_of(z, labels, hyperparameters("binary_classifier")).metrics("validation")
    assert [(metric.name, metric.token) for metric in metrics[:3]] == [
        ("validation:objective_loss:final", "binary_classification_cross_entropy"),
        ("validation:binary_classification_accuracy", ""),
        ("validation:binary_f_beta", "1.000"),
    ]
    assert (
        scores_of(z, labels, hyperparameters("binary_classifier")).metrics("test")[0].name
        == "test:objective_loss"
    )


def test_an_equal_score_of_an_earlier_class_ranks_first() -> None:
    parameters = hyperparameters("multiclass_classifier", num_classes=3, accuracy_top_k=1)
    metrics = values(scores_of(np.zeros((2, 1, 3), np.float32), np.array([0.0, 1.0]), parameters))
    assert metrics["multiclass_accuracy"] == metrics["multiclass_top_k_accuracy"] == 0.5
    assert metrics["dcg"] == pytest.approx((1 + 1 / np.log2(3)) / 2)


def test_log_loss_takes_no_probability_for_0() -> None:
    z = np.array([[[100, 0, 0]]], np.float32)
    scores = scores_of(z, np.array([1.0]), hyperparameters("multiclass_classifier", num_classes=3))
    assert values(scores)["multiclass_log_loss"] == pytest.approx(-np.log(1e-15))
    assert values(scores)["objective_loss"] == pytest.approx(100)


def test_one_class_alone_has_no_area_under_the_curve() -> None:
    metrics = values(
        scores_of(np.zeros((5, 1, 1), np.float32), np.ones(5), hyperparameters("binary_classifier"))
    )
    assert np.isnan(metrics["roc_auc_score"])
    assert metrics["precision"] == metrics["recall"] == 0  # 0.5 is not above 0.5


def test_class_weights_count_in_the_objective_alone() -> None:
    z, labels = binary(2)
    weights = np.array([[1.0, 1.0], [1.0, 4.0]])
    parameters = hyperparameters("binary_classifier")
    with_weights, without = (
        scores_of(z, labels, parameters, weights=weights),
        scores_of(z, labels, parameters),
    )
    loss = without.loss.value(z, labels)
    assert with_weights.objective() == pytest.approx(
        [loss[:, 0].mean(), (loss[:, 1] * (1 + 3 * labels)).mean()]
    )
    assert with_weights.choose().values.tolist() == without.choose().values.tolist()


def test_the_objective_of_scaled_labels_scales_with_them() -> None:
    labels = rng.normal(size=100)
    z = (labels + rng.normal(size=100)).astype(np.float32)[:, None, None]
    parameters = hyperparameters("regressor", loss="huber_loss", huber_delta=0.5)
    plain = scores_of(z, labels, parameters).objective()
    assert scores_of(4 * z, 4 * labels, parameters, unit=4.0).objective() == pytest.approx(16 * plain)


def test_the_best_model_has_the_best_criterion_at_its_own_threshold() -> None:
    z, labels = binary(4)
    z[:, 2] += 2 * labels[:, None].astype(np.float32)  # the one that knows something
    z[:, 2] -= 3  # and needs another threshold than 0.5
    choice = scores_of(z, labels, hyperparameters("binary_classifier")).choose()
    assert (choice.best, choice.name, choice.maximize) == (2, "sampled_accuracy", True)
    score = answers_of(z[:, 2, 0], "logistic")
    assert choice.value == theirs.accuracy_score(labels, score > np.float32(choice.thresholds[2]))
    assert choice.thresholds[2] < 0.4


@pytest.mark.parametrize("criterion", ["accuracy", "f_beta"])
def test_of_models_that_the_criterion_does_not_tell_apart_the_one_with_the_lowest_loss_is_chosen(
    criterion: str,
) -> None:
    parameters = hyperparameters("binary_classifier", binary_classifier_model_selection_criteria=criterion)
    z, labels = binary(2, 1000)
    z[:, 0] += 2 * labels[:, None].astype(np.float32)
    (threshold,) = scores_of(z[:, :1], labels, parameters).choose().thresholds
    right = (answers_of(z[:, 0, 0], "logistic") > np.float32(threshold)) == (labels > 0)
    truth = np.where(labels > 0, 9, -9)

    def choose(better: int, worse: int) -> tuple[int, float]:
        """A second model that is too sure of itself, right about `better` rows more, wrong about `worse`."""
        z[:, 1] = 9 * (z[:, 0] - np.log(threshold / (1 - threshold)))
        more, less = np.flatnonzero(~right)[:better], np.flatnonzero(right)[:worse]
        z[more, 1, 0], z[less, 1, 0] = truth[more], -truth[less]
        scores = scores_of(z, labels, parameters)
        objective = scores.objective()
        assert objective[0] < objective[1]
        choice = scores.choose()
        return choice.best, choice.values[1] - choice.values[0]

    best, gain = choose(30, 26)
    assert gain > 0
    assert best == 0
    best, gain = choose(60, 0)
    assert gain > 0.05
    assert best == 1


@pytest.mark.parametrize("criterion", ["loss_function", "cross_entropy_loss"])
def test_models_are_chosen_by_loss_where_that_is_the_criterion(criterion: str) -> None:
    z, labels = binary(3)
    z[:, 1] = (4 * labels - 2)[:, None]
    parameters = hyperparameters("binary_classifier", binary_classifier_model_selection_criteria=criterion)
    choice = scores_of(z, labels, parameters).choose()
    assert (choice.best, choice.name, choice.maximize) == (1, "sampled_loss_function", False)
    assert choice.thresholds.tolist() == [0.5] * 3


def test_regressors_are_chosen_by_objective() -> None:
    labels = rng.normal(size=50)
    z = np.stack([labels + 1, labels, labels - 1], axis=1)[:, :, None].astype(np.float32)
    choice = scores_of(z, labels, hyperparameters("regressor")).choose()
    assert (choice.best, choice.name, choice.maximize) == (1, "mse_objective", False)


def test_hinge_is_calibrated_on_raw_scores() -> None:
    z = np.array([-3, -2, 4, 5], np.float32)[:, None, None]
    parameters = hyperparameters("binary_classifier", loss="hinge_loss")
    assert scores_of(z, np.array([0.0, 0, 1, 1]), parameters).choose().thresholds.tolist() == [1.0]
    z += 10
    assert scores_of(z, np.array([0.0, 0, 1, 1]), parameters).choose().thresholds.tolist() == [11.0]


@pytest.mark.parametrize("kind", ["binary_classifier", "regressor"])
def test_a_model_that_diverged_is_never_chosen(kind: str) -> None:
    z, labels = binary(3)
    z[:, 0] = np.nan
    z[5, 2] = np.inf
    choice = scores_of(z, labels, hyperparameters(kind)).choose()
    assert choice.best == 1
    assert np.isnan(choice.values[0])


def test_of_many_rows_a_sample_is_kept() -> None:
    z, labels = binary(2, 20_000)
    small = hyperparameters("binary_classifier", num_calibration_samples=2000)
    first, again = (scores_of(z, labels, small).choose() for _ in range(2))
    assert first.values.tolist() == again.values.tolist()
    whole = scores_of(z, labels, hyperparameters("binary_classifier")).choose()
    # Four standard deviations of a share of 2000 rows.
    assert first.values == pytest.approx(whole.values, abs=4 * 0.5 / 2000**0.5)
    assert first.values.tolist() != whole.values.tolist()
    assert values(scores_of(z[:, :1], labels, small, sample_size=20_000)) == values(
        scores_of(z[:, :1], labels, hyperparameters("binary_classifier"))
    )


def test_a_sample_takes_rows_from_everywhere() -> None:
    z = np.arange(10_000, dtype=np.float32)[:, None, None]
    small = hyperparameters("binary_classifier", loss="hinge_loss", num_calibration_samples=1000)
    scores = scores_of(z, np.zeros(10_000), small)
    assert len(scores.sample.labels()) == 1000
    sample = scores.sample.scores(0)
    assert len(set(sample.tolist())) == 1000
    assert sample.mean() == pytest.approx(5000, abs=4 * 10_000 / 12**0.5 / 1000**0.5)


@pytest.mark.parametrize("kind", ["binary_classifier", "multiclass_classifier", "regressor"])
@pytest.mark.parametrize("models", [1, 3])
def test_hosts_take_together_what_each_absorbed(kind: str, models: int) -> None:
    classes = 3 if kind == "multiclass_classifier" else 1
    z = rng.normal(size=(950, models, classes)).astype(np.float32)
    labels = rng.integers(0, 3 if classes == 3 else 2, 950).astype(np.float64)
    setting = hyperparameters(kind, num_classes=3)

    def work(cluster: Any) -> tuple[list[float], list[float]]:
        mine = slice(0, 700) if cluster.rank == 0 else slice(700, None)
        scores = scores_of(z[mine], labels[mine], setting)
        scores.merge(cluster)
        return scores.choose().values.tolist(), list(values(scores).values()) if models == 1 else []

    alone = scores_of(z, labels, setting)
    for criteria, scores in on_hosts(2, work):
        assert criteria == pytest.approx(alone.choose().values.tolist(), rel=1e-12)
        assert scores == (pytest.approx(list(values(alone).values())) if models == 1 else [])


def test_hosts_agree_on_a_sample() -> None:
    z, labels = binary(2, 4000)
    small = hyperparameters("binary_classifier", num_calibration_samples=500)

    def work(cluster: Any) -> list[float]:
        scores = scores_of(z[cluster.rank :: 3], labels[cluster.rank :: 3], small)
        scores.merge(cluster)
        assert len(scores.sample.labels()) == 500
        return scores.choose().values.tolist()

    first, *others = on_hosts(3, work)
    assert all(other == first for other in others)


def test_a_host_without_rows_takes_part() -> None:
    z, labels = binary(2)

    def work(cluster: Any) -> list[float]:
        scores = scores_of(
            z[: 950 * cluster.rank], labels[: 950 * cluster.rank], hyperparameters("binary_classifier")
        )
        scores.merge(cluster)
        return scores.choose().values.tolist()

    expected = scores_of(z, labels, hyperparameters("binary_classifier")).choose().values.tolist()
    assert on_hosts(2, work) == [expected, expected]


@pytest.mark.parametrize("kind", ["binary_classifier", "multiclass_classifier", "regressor"])
def test_no_rows_have_no_values(kind: str) -> None:
    scores = Scores(hyperparameters(kind, num_classes=3), 1, 3 if kind.startswith("multi") else 1)
    assert np.isnan(scores.objective()).all()
    assert np.isnan(scores.choose().value)
    assert np.isnan([value for name, value in values(scores).items() if not name.startswith("macro")]).all()


def test_scores_beyond_memory_are_told_before_they_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optml.memory.available", lambda device: 10_000)
    z, labels = binary(32)
    with pytest.raises(UserError, match="lower num_calibration_samples or num_models"):
        scores_of(z, labels, hyperparameters("binary_classifier"))
