"""What evaluations decide: replays of runs."""

from __future__ import annotations

import math
from typing import Any

import pytest

from optml.algorithms.seq2seq.rules import hints
from optml.algorithms.seq2seq.schedule import Schedule
from tests.algorithms.seq2seq.sample import hyperparameters


def replay(values: list[float], epochs: list[int] | None = None, **changes: Any) -> list[str]:
    schedule = Schedule(hyperparameters(**({"max_num_epochs": None} | changes)), quiet=True)
    verdicts: list[str] = []
    for number, value in enumerate(values):
        schedule.epoch = 0 if epochs is None else epochs[number]
        verdicts.append(schedule.update(value))
    return verdicts


def test_it_stops_at_the_third_bad_evaluation_in_a_row() -> None:
    assert replay([9, 8, 8, 8.5, 7, 7, 7, 7]) == [
        *["best", "best", "stale", "stale", "best"],
        "stale",
        "stale",
        "stop",
    ]


def test_bad_evaluations_before_the_least_epochs_count() -> None:
    epochs = [0, 0, 1, 1, 2, 2, 3]
    verdicts = replay([9, 10, 10, 10, 10, 10, 10], epochs, min_num_epochs=3)
    assert verdicts == ["best", *["stale"] * 5, "stop"]


def test_a_number_of_epochs_is_kept_to() -> None:
    assert replay([1, 2, 2, 2, 2], max_num_epochs=5) == ["best", *["stale"] * 4]


def test_accuracy_and_bleu_are_to_be_large() -> None:
    assert replay([0.1, 0.2, 0.15], optimized_metric="bleu") == ["best", "best", "stale"]


def test_a_plateau_lowers_the_rate_and_waits_anew() -> None:
    changes = {"plateau_reduce_lr_threshold": 2, "plateau_reduce_lr_factor": 0.1, "checkpoint_threshold": 9}
    schedule = Schedule(hyperparameters(max_num_epochs=None, learning_rate=1.0, **changes), quiet=True)
    rates = []
    for value in (5, 6, 6, 6, 6, 4, 5):
        schedule.update(value)
        rates.append(schedule.rate(100))
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.01])
    again = Schedule(schedule.settings, quiet=True)
    again.load_state_dict(schedule.state_dict())
    assert again.update(5) == schedule.update(5)
    assert again.rate(0) == schedule.rate(0) == pytest.approx(0.001)


def test_rates_are_half_at_the_half_life() -> None:
    for kind in ("fixed_rate_inv_t", "fixed_rate_inv_sqrt_t"):
        schedule = Schedule(hyperparameters(lr_scheduler_type=kind, learning_rate=0.4), quiet=True)
        assert schedule.rate(0) == 0.4
        assert schedule.rate(100) == pytest.approx(0.2)  # ten evaluations of ten updates
    assert schedule.rate(400) == pytest.approx(0.4 / math.sqrt(13))


def test_what_is_seldom_meant_is_told() -> None:
    assert "stops at the evaluation that would reduce" in hints(hyperparameters(max_num_epochs=None))[0]
    assert hints(hyperparameters()) == []
    changes = {"max_num_batches": 5, "checkpoint_threshold": 9, "max_num_epochs": None}
    assert "evaluated once, at the end" in hints(hyperparameters(**changes))[0]
