from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.factorization_machines import ALGORITHM
from optml.algorithms.factorization_machines.initial import Initial


def initial(seed: int = 0, factors: int = 8, **hyperparameters: Any) -> Initial:
    settings = {"feature_dim": 100, "num_factors": factors, "predictor_type": "regressor"} | hyperparameters
    return Initial(ALGORITHM.hyperparameters(**settings), seed)


def test_values_depend_on_the_feature_and_not_on_what_is_asked_with_it() -> None:
    ids = np.array([7, 2**40, 0, 7])
    rows = initial().rows(ids)
    np.testing.assert_array_equal(rows[0], rows[3])
    np.testing.assert_array_equal(rows[1], initial().rows(np.array([2**40]))[0])
    every = initial().rows(np.arange(200_000))  # more than are drawn at a time
    np.testing.assert_array_equal(every[[7, 0]], rows[[0, 2]])


def test_values_are_normal_with_each_group_s_deviation() -> None:
    rows = initial(factors_init_sigma=0.5, linear_init_sigma=2.0).rows(np.arange(20_000))
    factors, weights = rows[:, :-1].ravel() / 0.5, rows[:, -1] / 2
    for values in (factors, weights):
        slack = 5 / np.sqrt(len(values))  # five standard errors of the mean
        assert abs(values.mean()) < slack
        assert abs((values**2).mean() - 1) < 2 * slack
        assert abs((values**4).mean() - 3) < 10 * slack
        assert abs((values[1:] * values[:-1]).mean()) < slack
    correlations = np.corrcoef(rows.T) - np.eye(9)
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)


def test_seeds_give_different_values() -> None:
    ids = np.arange(50)
    assert not np.isin(initial(1).rows(ids), initial(2).rows(ids)).any()
    assert initial(1).bias != initial(2).bias


@pytest.mark.parametrize(("hyperparameters", "size"), [({}, 0.07), ({"factors_init_scale": 3.0}, 3.0)])
def test_uniform_values_fill_their_range(hyperparameters: dict[str, float], size: float) -> None:
    factors = initial(factors_init_method="uniform", **hyperparameters).rows(np.arange(5000))[:, :-1]
    assert np.abs(factors).max() < size
    quartiles = np.quantile(factors, [0.25, 0.5, 0.75]) / size
    np.testing.assert_allclose(quartiles, [-0.5, 0, 0.5], atol=0.02)


def test_constants_are_what_was_given_or_nothing() -> None:
    hyperparameters = {f"{group}_init_method": "constant" for group in ("bias", "linear", "factors")}
    assert initial(**hyperparameters).bias == 0
    assert (initial(**hyperparameters, factors_init_value=-2.5).rows(np.arange(3))[:, :-1] == -2.5).all()


def test_terms_that_are_dropped_begin_at_nothing() -> None:
    nothing = initial(use_bias=False, use_linear=False)
    assert nothing.bias == 0
    rows = nothing.rows(np.arange(10))
    assert (rows[:, -1] == 0).all()
    assert (rows[:, :-1] != 0).all()
