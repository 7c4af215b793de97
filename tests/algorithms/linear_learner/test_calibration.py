from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, fbeta_score, precision_score, recall_score, roc_auc_score

from optml.algorithms.linear_learner.calibration import Calibration, Sweep, calibrate, choose
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters


def criterion_of(criterion: str = "accuracy", **hyperparameters: object) -> Hyperparameters:
    return Hyperparameters(
        predictor_type="binary_classifier",
        binary_classifier_model_selection_criteria=criterion,  # type: ignore[arg-type]
        **hyperparameters,  # type: ignore[arg-type]
    )


def sweep(scores: list[float], labels: list[int]) -> Sweep:
    return Sweep.of(np.array(scores, np.float32), np.array(labels, bool))


def some(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores on a coarse grid, so that many are equal, and labels that go with them."""
    rng = np.random.default_rng(seed)
    labels = rng.random(rows) < 0.3
    scores = np.round(1 / (1 + np.exp(-rng.normal(size=rows) - labels)), 2).astype(np.float32)
    return scores, labels


@pytest.mark.parametrize("criterion", ["accuracy", "f_beta", "precision_at_target_recall"])
def test_no_threshold_at_all_is_better(criterion: str) -> None:
    scores, labels = some()
    hyperparameters = criterion_of(criterion, f_beta=2.0, target_recall=0.7)
    result = calibrate(Sweep.of(scores, labels), hyperparameters)

    def value(threshold: float) -> float:
        answers = scores > threshold
        if criterion == "accuracy":
            return float(accuracy_score(labels, answers))
        if criterion == "f_beta":
            return float(fbeta_score(labels, answers, beta=2, zero_division=0))
        on_target = recall_score(labels, answers, zero_division=0) >= 0.7
        return float(precision_score(labels, answers, zero_division=0)) if on_target else -1.0

    assert result.value == pytest.approx(value(result.threshold), rel=1e-12)
    assert result.value == pytest.approx(max(map(value, np.linspace(-0.005, 1.005, 405))), rel=1e-12)


def test_recall_at_target_precision_is_the_best_of_those_that_hold_it() -> None:
    scores, labels = some()
    hyperparameters = criterion_of("recall_at_target_precision", target_precision=0.5)
    result = calibrate(Sweep.of(scores, labels), hyperparameters)
    assert result.on_target
    assert result.bound >= 0.5
    assert precision_score(labels, scores > result.threshold) == pytest.approx(result.bound)
    recalls = [
        recall_score(labels, scores > threshold)
        for threshold in np.linspace(-0.005, 1.005, 405)
        if precision_score(labels, scores > threshold, zero_division=0) >= 0.5
    ]
    assert result.value == pytest.approx(max(recalls), rel=1e-12)


def test_of_equally_good_thresholds_the_one_closest_to_a_half_is_taken() -> None:
    result = calibrate(sweep([0.1, 0.3, 0.6, 0.9], [0, 1, 0, 1]), criterion_of())
    assert (result.threshold, result.value) == (pytest.approx(0.75), 0.75)  # 0.2 is as good, but farther away
    result = calibrate(sweep([0.1, 0.4, 0.6, 0.9], [0, 1, 0, 1]), criterion_of())
    assert result.threshold == pytest.approx(0.25)  # 0.75 is as good and as close: the lower one


@pytest.mark.parametrize(("labels", "positive"), [([1, 1, 1], 3), ([0, 0, 0], 0)])
def test_both_ends_are_candidates(labels: list[int], positive: int) -> None:
    scores = np.array([0.0, 0.5, 1.0], np.float32)
    result = calibrate(Sweep.of(scores, np.array(labels, bool)), criterion_of())
    assert result.value == 1
    assert (scores > np.float32(result.threshold)).sum() == positive


def test_a_threshold_tells_neighbouring_float32_scores_apart() -> None:
    low = np.float32(0.7)
    high = np.nextafter(low, np.float32(1))
    result = calibrate(sweep([low, high], [0, 1]), criterion_of())
    assert low <= np.float32(result.threshold) < high
    assert result.value == 1


def test_scores_below_zero_are_sorted_too() -> None:
    scores = np.array([-3.5, -0.0, 0.0, 2.0, -1e-30], np.float32)
    whole = Sweep.of(scores, np.array([0, 1, 0, 1, 0], bool))
    assert whole.scores.tolist() == sorted(scores.tolist())
    assert whole.below.tolist() == [0, 1, 2, 4, 5]  # 0.0 and -0.0 are one score


def test_precision_that_cannot_be_reached_comes_as_close_as_it_can() -> None:
    result = calibrate(
        sweep([0.3, 0.2, 0.15, 0.1], [0, 1, 1, 0]),  # closest to 0.5 nothing is found at all
        criterion_of("recall_at_target_precision", target_precision=0.95),
    )
    assert not result.on_target
    assert (result.bound, result.value) == (pytest.approx(2 / 3), 1.0)
    warning = choose([result], criterion_of("recall_at_target_precision", target_precision=0.95)).warning
    assert "target_precision=0.95" in warning
    assert "the best reachable precision is 0.666667" in warning
    assert "lower target_precision" in warning


def test_a_target_recall_without_positive_rows_says_what_is_reachable() -> None:
    hyperparameters = criterion_of("precision_at_target_recall", target_recall=0.9)
    warning = choose([calibrate(sweep([0.2, 0.3], [0, 0]), hyperparameters)], hyperparameters).warning
    assert "target_recall=0.9: the best reachable recall is 0" in warning


def test_models_that_reach_the_target_come_before_better_ones_that_do_not() -> None:
    hyperparameters = criterion_of("recall_at_target_precision")
    models = [
        Calibration(0.5, 0.9, on_target=False, bound=0.7),
        Calibration(0.4, 0.3, on_target=True, bound=0.8),
        Calibration(0.3, 0.2, on_target=True, bound=0.99),
        Calibration(),
    ]
    choice = choose(models, hyperparameters)
    assert (choice.best, choice.value, choice.name) == (1, 0.3, "sampled_recall_at_target_precision")
    assert choice.warning == ""
    assert choice.maximize
    assert choose(models[:1] + models[3:], hyperparameters).best == 0


def test_f1_is_f_beta_with_beta_1() -> None:
    scores, labels = some()
    whole = Sweep.of(scores, labels)
    one = calibrate(whole, criterion_of("f1", f_beta=3.0))
    assert one == calibrate(whole, criterion_of("f_beta", f_beta=1.0))
    assert one != calibrate(whole, criterion_of("f_beta", f_beta=3.0))


@given(st.lists(st.tuples(st.floats(-2, 2, width=16), st.booleans()), min_size=1, max_size=60))
def test_every_candidate_has_the_confusion_matrix_of_its_threshold(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in rows], np.float32)
    labels = np.array([label for _, label in rows])
    whole = Sweep.of(scores, labels)
    assert len(whole.below) == len(set(scores.tolist())) + 1
    for place in range(len(whole.below)):
        at, threshold = whole.threshold(np.arange(len(whole.below)) == place)
        answers = scores > np.float32(threshold)
        assert at == place
        assert whole.true_positives[place] == (answers & labels).sum()
        assert whole.true_negatives[place] == (~answers & ~labels).sum()
    if 0 < labels.sum() < len(labels):
        assert whole.auc() == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    else:
        assert np.isnan(whole.auc())
