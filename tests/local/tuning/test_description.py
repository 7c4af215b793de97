"""What trials are called in the service's answers."""

from __future__ import annotations

from optml.local.tuning.description import best_trial, counters, starts_again, summary
from optml.local.tuning.trials import Trial
from tests.local.tuning.requests import continuous, tuning

JOB = tuning(
    continuous=[continuous("eta", 0, 1)],
    metric="validation:auc",
    direction="Maximize",
    definition={"RetryStrategy": {"MaximumRetryAttempts": 2}},
)
(DEFINITION,) = JOB.definitions
TRIALS = [
    Trial(1, {"eta": "0.1"}, "Completed", (0.5, 0.9, 0.8)),
    Trial(2, {"eta": "0.2"}, "Completed"),  # printed no value
    Trial(3, {"eta": "0.3"}, "Stopped", (0.7,)),
    Trial(4, {"eta": "0.4"}, "Failed", (0.99,), reason="AlgorithmError: out of range"),
    Trial(5, {"eta": "0.5"}, "Failed", reason="InternalServerError: the process vanished"),
    Trial(6, {"eta": "0.6"}, values=(0.95,)),
]


def test_statuses_are_counted() -> None:
    assert counters(TRIALS) == {
        "TrainingJobStatusCounters": {
            "Completed": 2,
            "InProgress": 1,
            "RetryableError": 1,
            "NonRetryableError": 1,
            "Stopped": 1,
        },
        "ObjectiveStatusCounters": {"Succeeded": 2, "Pending": 1, "Failed": 3},
    }


def test_the_last_value_of_a_trial_counts_and_its_best_is_told_too() -> None:
    content = summary(DEFINITION, TRIALS[0])
    assert content["FinalHyperParameterTuningJobObjectiveMetric"] == {
        "Type": "Maximize",
        "MetricName": "validation:auc",
        "Value": 0.8,
    }
    assert content["BestObservedValue"] == 0.9
    assert "FinalHyperParameterTuningJobObjectiveMetric" not in summary(DEFINITION, TRIALS[1])
    assert summary(DEFINITION, TRIALS[3])["FailureReason"] == "AlgorithmError: out of range"


def test_the_best_has_ended_with_a_value() -> None:
    assert best_trial(JOB, TRIALS) == TRIALS[0]


def test_only_what_is_no_fault_of_the_job_starts_again_and_so_many_times() -> None:
    assert starts_again(DEFINITION, TRIALS[4], attempts=1)
    assert starts_again(DEFINITION, TRIALS[4], attempts=2)
    assert not starts_again(DEFINITION, TRIALS[4], attempts=3)
    assert not starts_again(DEFINITION, TRIALS[3], attempts=1)
