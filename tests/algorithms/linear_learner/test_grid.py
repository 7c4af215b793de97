from __future__ import annotations

from typing import Any

from optml.algorithms.linear_learner.grid import Point, points
from optml.algorithms.linear_learner.hyperparameters import Hyperparameters


def models(*, tuned: bool = False, seed: int = 0, **hyperparameters: Any) -> list[Point]:
    hyperparameters = {"predictor_type": "regressor"} | hyperparameters
    return points(Hyperparameters.model_validate(hyperparameters), tuned=tuned, seed=seed)


def test_by_default_32_different_models_begin_with_the_reference() -> None:
    points_of_grid = models()
    assert len(set(points_of_grid)) == len(points_of_grid) == 32
    assert points_of_grid[0] == Point("adam", 0.1, 0.0, 1e-4, 100, 0.99, 1e-5)
    assert {point.learning_rate for point in points_of_grid} == {0.1, 0.005}


def test_only_what_is_left_at_auto_varies() -> None:
    points_of_grid = models(learning_rate=0.3, wd=0.01)
    assert {(point.learning_rate, point.wd) for point in points_of_grid} == {(0.3, 0.01)}
    assert (
        len(points_of_grid) == len(set(points_of_grid)) == 3 * 4
    )  # l1 and the schedule: two pairs of penalties share l1=0
    assert points_of_grid[0] == Point("adam", 0.3, 0.0, 0.01, 100, 0.99, 1e-5)


def test_nothing_left_at_auto_gives_one_model() -> None:
    schedule = {"lr_scheduler_step": 7, "lr_scheduler_factor": 0.5, "lr_scheduler_minimum_lr": 1e-3}
    hyperparameters = {"learning_rate": 0.3, "wd": 0.0, "l1": 0.0, "optimizer": "sgd"} | schedule
    assert models(num_models=32, **hyperparameters) == [Point("sgd", 0.3, 0.0, 0.0, 7, 0.5, 1e-3)]
    assert len(models(use_lr_scheduler=False, learning_rate=0.3, wd=0.0, l1=0.0)) == 1


def test_a_tuning_job_trains_one_model() -> None:
    assert models(tuned=True, num_models=8) == models(num_models=1)


def test_models_beyond_the_grid_are_drawn_by_seed() -> None:
    points_of_grid = models(num_models=40, wd=0.5)
    assert len(points_of_grid) == 40
    assert points_of_grid == models(num_models=40, wd=0.5)
    assert points_of_grid != models(num_models=40, wd=0.5, seed=1)
    assert all(1e-4 <= point.learning_rate <= 0.5 for point in points_of_grid)
    assert {point.wd for point in points_of_grid} == {0.5}


def test_fewer_models_are_the_first_of_more() -> None:
    assert models(num_models=5) == models()[:5]
    assert models(num_models=33)[:32] == models()


def test_rmsprop_has_rates_of_its_own() -> None:
    assert {point.learning_rate for point in models(optimizer="rmsprop")} == {0.01, 0.001}


def test_auto_balances_every_second_model() -> None:
    binary = {"predictor_type": "binary_classifier", "positive_example_weight_mult": "auto"}
    assert [point.balanced for point in models(**binary)] == [False, True] * 16
    rates = {"learning_rate": 0.3, "wd": 0.0, "l1": 0.0, "use_lr_scheduler": False}
    assert [point.balanced for point in models(**binary, **rates)] == [False, True]
    assert [point.balanced for point in models(**binary, num_models=1)] == [False]
