"""When a tuning job ends."""

from __future__ import annotations

from typing import Any

import pytest

from optml.local.tuning.completion import completion, not_improving, remaining
from optml.local.tuning.definition import Tuning
from optml.local.tuning.trials import Trial
from tests.local.tuning.requests import continuous, tuning


def job(**fields: Any) -> Tuning:
    return tuning(**{"continuous": [continuous("eta", 0, 1)], "jobs": 100} | fields)


def completed(*values: float) -> list[Trial]:
    return [Trial(n, {}, "Completed", (value,), ended=float(n)) for n, value in enumerate(values, 1)]


def failed(count: int, reason: str = "ClientError: no data") -> list[Trial]:
    return [Trial(n, {}, "Failed", ended=float(n), reason=reason) for n in range(1, count + 1)]


def reason(tuning: Tuning, trials: list[Trial], seconds: float = 0) -> str | None:
    end = completion(tuning, trials, seconds)
    return end.reason if end else None


def test_so_many_jobs() -> None:
    few = job(jobs=3)
    assert reason(few, completed(1, 2)) is None
    assert reason(few, completed(1, 2, 3)) == "MaxNumberOfTrainingJobs"
    assert remaining(few, completed(1)) == 2


def test_trials_that_run_come_to_their_end_when_the_number_is_reached() -> None:
    end = completion(job(jobs=2), [*completed(1), Trial(2, {})], 0)
    assert end is not None
    assert not end.at_once


def test_run_time() -> None:
    limits = {"MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 3600}
    timed = job(ResourceLimits=limits)
    assert reason(timed, [], 3599) is None
    end = completion(timed, [Trial(1, {})], 3600)
    assert end is not None
    assert end.at_once


@pytest.mark.parametrize(
    ("direction", "metric", "values"),
    [("Minimize", "validation:rmse", (0.6, 0.5)), ("Maximize", "validation:auc", (0.4, 0.5))],
)
def test_a_value_as_good_as_the_target(direction: str, metric: str, values: tuple[float, float]) -> None:
    criteria = {"TargetObjectiveMetricValue": 0.5}
    aimed = job(direction=direction, metric=metric, TuningJobCompletionCriteria=criteria)
    assert reason(aimed, completed(values[0])) is None
    assert reason(aimed, completed(*values)) == "TargetObjectiveMetricValue"


def test_less_than_a_hundredth_is_no_improvement() -> None:
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    stale = job(TuningJobCompletionCriteria=criteria)
    assert not_improving(stale, completed(10, 9.95, 9.92)) == 2
    assert not_improving(stale, completed(10, 9.95, 9.8)) == 0
    assert reason(stale, completed(10, 9.95, 9.93)) is None
    assert reason(stale, completed(10, 9.95, 9.93, 11)) == "BestObjectiveNotImproving"


def test_trials_count_in_the_order_of_their_ends() -> None:
    first, last = Trial(2, {}, "Completed", (5.0,), ended=1.0), Trial(1, {}, "Completed", (9.0,), ended=2.0)
    assert not_improving(job(), [last, first]) == 1


def test_convergence_takes_twenty_trials_and_ten_without_an_improvement() -> None:
    sure = job(TuningJobCompletionCriteria={"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}})
    assert reason(sure, completed(*[1.0] * 19)) is None
    assert reason(sure, completed(*[1.0] * 20)) == "ConvergenceDetected"
    assert reason(sure, completed(*[9.0] * 11, *[1.0] * 10)) is None
    # Of 60 a third.
    assert reason(sure, completed(*[9.0] * 45, *[1.0] * 15)) is None


def test_five_failures_and_no_success_fail_the_job_with_the_first_reason() -> None:
    assert reason(job(), failed(4)) is None
    end = completion(job(), failed(5), 0)
    assert end is not None
    assert end.failure.startswith("All training jobs failed.")
    assert end.failure.endswith("The first: ClientError: no data")
    assert reason(job(), [*failed(5), Trial(6, {}, "Completed", (1.0,))]) is None


def test_jobs_without_a_metric_fail_the_job_with_the_words_of_the_service() -> None:
    silent = [Trial(n, {}, "Completed", ended=float(n)) for n in range(1, 6)]
    end = completion(job(), silent, 0)
    assert end is not None
    assert end.failure.startswith("No objective metrics found after running 5 training jobs.")


def test_a_short_job_fails_once_its_last_trial_has() -> None:
    short = job(jobs=2)
    end = completion(short, [*failed(1), Trial(2, {})], 0)
    assert end is not None
    assert not end.failure
    end = completion(short, failed(2), 0)
    assert end is not None
    assert end.failure
