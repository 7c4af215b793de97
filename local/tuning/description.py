"""What a tuning job and its trials are called in the service's answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from optml.local.tuning.definition import Definition, Tuning
from optml.local.tuning.trials import Trial, best

# How a failure begins that is no fault of the job's, and that a new start may mend.
RETRYABLE = ("InternalServerError", "PlatformError")


def objective_status(trial: Trial) -> Literal["Succeeded", "Pending", "Failed"]:
    if trial.running:
        return "Pending"
    return "Failed" if trial.value is None else "Succeeded"


def retryable(trial: Trial) -> bool:
    """Did it fail through no fault of its own?"""
    return trial.status == "Failed" and trial.reason.startswith(RETRYABLE)


def starts_again(definition: Definition, trial: Trial, attempts: int) -> bool:
    """Does a trial that has failed start once more, after so many attempts? As RetryStrategy has it, the
    first attempt is no retry."""
    return retryable(trial) and attempts <= definition.retries


def summary(definition: Definition, trial: Trial) -> dict[str, Any]:
    """Of a TrainingJobSummary what the trial tells: no name, no times. Ours beside it: the best of its
    values, which need not be the last."""
    content: dict[str, Any] = {
        "TrainingJobStatus": trial.status,
        "TunedHyperParameters": dict(trial.parameters),
        "ObjectiveStatus": objective_status(trial),
    }
    if definition.name:
        content["TrainingJobDefinitionName"] = definition.name
    if trial.reason and trial.status == "Failed":
        content["FailureReason"] = trial.reason
    if trial.value is not None:
        objective = definition.objective
        content["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "Type": objective.type,
            "MetricName": objective.metric,
            "Value": trial.value,
        }
        content["BestObservedValue"] = (max if objective.maximize else min)(trial.values)
    return content


def counters(trials: Sequence[Trial]) -> dict[str, dict[str, int]]:
    """`TrainingJobStatusCounters` and `ObjectiveStatusCounters`."""
    statuses = [trial.status for trial in trials]
    objectives = [objective_status(trial) for trial in trials]
    again = sum(map(retryable, trials))
    return {
        "TrainingJobStatusCounters": {
            "Completed": statuses.count("Completed"),
            "InProgress": statuses.count("InProgress"),
            "RetryableError": again,
            "NonRetryableError": statuses.count("Failed") - again,
            "Stopped": statuses.count("Stopped"),
        },
        "ObjectiveStatusCounters": {
            name: objectives.count(name) for name in ("Succeeded", "Pending", "Failed")
        },
    }


def best_trial(tuning: Tuning, trials: Sequence[Trial]) -> Trial | None:
    """`BestTrainingJob`: over the definitions of a job, which have one direction."""
    return best(trials, tuning.definitions[0].objective)
