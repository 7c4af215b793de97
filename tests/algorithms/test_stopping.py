from __future__ import annotations

import math

from optml.algorithms.stopping import Patience


def verdicts(rule: Patience, *values: float) -> list[str]:
    return [rule.update(value) for value in values]


def test_stops_after_so_many_values_without_improvement() -> None:
    rule = Patience(2)
    assert verdicts(rule, 5, 4, 4.5, 3, 3, 3.5) == ["best", "best", "stale", "best", "stale", "stop"]


def test_small_improvements_do_not_count() -> None:
    rule = Patience(9, tolerance=0.1)
    assert verdicts(rule, 100, 95, 90, 81) == ["best", "stale", "best", "best"]


def test_larger_is_better_where_asked_for() -> None:
    rule = Patience(1, tolerance=0.01, maximize=True)
    assert verdicts(rule, 0.5, 0.6, 0.601) == ["best", "best", "stop"]


def test_around_zero_any_improvement_counts() -> None:
    assert verdicts(Patience(3, 0.5), 0.0, -1e-9) == ["best", "best"]


def test_what_is_not_a_number_is_no_improvement() -> None:
    assert verdicts(Patience(2), math.nan, 1.0, math.nan, 0.5) == ["stale", "best", "stale", "best"]


def test_resumes_where_it_was() -> None:
    rule, resumed = Patience(2), Patience(2)
    verdicts(rule, 3, 2, 2.5)
    resumed.load_state_dict(rule.state_dict())
    assert verdicts(resumed, 2.4) == ["stop"]
