from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.kernels.linear import cpu as linear_step_cpu
from optml.algorithms.kernels.linear import gradient, scores, update
from optml.algorithms.kernels.linear.terms import LOSSES, OPTIMIZERS, Problem
from optml.algorithms.kernels.machine.threads import ALONE
from tests.algorithms.kernels import linear

SHAPES = [(203, 37, 5), (1, 1, 1), (0, 3, 2), (300, 150, 40)]  # rows, features, models


def by_cpu(rows: Any, case: linear.Case, problem: Problem) -> tuple[np.ndarray, ...]:
    gradients, losses = gradient(rows, case.labels, case.weights, problem)
    return gradients, losses, scores(rows, case.weights, problem)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_the_reference(loss: str, shape: tuple[int, int, int]) -> None:
    rows, features, models = shape
    case = linear.case(loss, rows=rows, features=features, models=models)
    for folded in (False, True):
        linear.agree(case, by_cpu(case.rows, case, replace(case.problem, folded=folded)))
    linear.agree(case, by_cpu(csr_array(case.rows), case, case.problem))


@pytest.mark.parametrize("shape", [(203, 37), (1000, 14), (32, 30), (100, 100), (1100, 500)])
@pytest.mark.parametrize("kind", ["standardised", "folded", "sparse"])
def test_a_model_s_bits_do_not_depend_on_its_neighbours(kind: str, shape: tuple[int, int]) -> None:
    for loss in ("logistic", "softmax_loss"):
        models = 44  # whole registers, a part of one, and few columns alone
        case = linear.case(loss, rows=shape[0], features=shape[1], models=models)
        problem = replace(case.problem, folded=kind == "folded")
        rows = csr_array(case.rows) if kind == "sparse" else case.rows
        together = by_cpu(rows, case, problem)
        classes = problem.classes
        for model in (0, models - 1):
            own = slice(model * classes, (model + 1) * classes)
            class_weights = np.ascontiguousarray(problem.class_weights[:, model : model + 1])
            one = replace(problem, models=1, class_weights=class_weights)
            alone = by_cpu(rows, replace_weights(case, case.weights[:, own]), one)
            np.testing.assert_array_equal(alone[0], together[0][:, own])
            np.testing.assert_array_equal(alone[1], together[1][model : model + 1])
            np.testing.assert_array_equal(alone[2], together[2][:, own])


def replace_weights(case: linear.Case, weights: np.ndarray) -> linear.Case:
    return replace(case, weights=np.ascontiguousarray(weights))


def test_several_threads_add_up_to_the_same() -> None:
    case = linear.case("logistic", rows=2000, features=40, models=8)
    assert 2 * len(case.rows) * 40 * linear_step_cpu.PANEL > ALONE
    linear.agree(case, by_cpu(case.rows, case, case.problem))


def test_features_far_from_0_keep_their_digits() -> None:
    case = linear.case("squared_loss", rows=500, features=6, models=3, far=3e4)
    linear.agree(
        linear.Case(case.rows + case.problem.shift, case.labels, case.weights, case.problem),
        by_cpu(case.rows + case.problem.shift, case, case.problem),
    )


def test_sparse_rows_leave_constant_features_alone() -> None:
    case = linear.case("squared_loss", rows=50, features=4, models=2)
    still = np.array([False, True, False, False])
    gradients, _ = gradient(
        csr_array(case.rows), case.labels, case.weights, replace(case.problem, still=still)
    )
    assert (gradients[1] == 0).all()
    assert (gradients[[0, 2, 3]] != 0).all()


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_agree_with_the_reference(optimizer: str, use_bias: bool) -> None:
    linear.agree_on_updates(update, optimizer, use_bias=use_bias)


def test_extreme_scores_have_the_loss_and_slope_of_their_limit() -> None:
    case = linear.case("logistic", rows=2, features=1, models=1)
    problem = replace(case.problem, shift=np.zeros(1, np.float32), scale=np.ones(1, np.float32))
    problem = replace(problem, class_weights=np.ones((2, 1), np.float32))
    weights = np.array([[1000.0], [0.0]], np.float32)
    for label, loss in [(1.0, 0.0), (0.0, 1000.0)]:
        labels = np.array([label], np.float32)
        gradients, losses = gradient(np.ones((1, 1), np.float32), labels, weights, problem)
        assert losses[0] == pytest.approx(loss)
        assert gradients[0, 0] == pytest.approx(1 - label)
