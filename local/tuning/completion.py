"""Whether a tuning job has come to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from optml.local.tuning.definition import Tuning
from optml.local.tuning.trials import Trial, in_order

Reason = Literal[
    "MaxNumberOfTrainingJobs",
    "MaxRuntimeInSeconds",
    "TargetObjectiveMetricValue",
    "BestObjectiveNotImproving",
    "ConvergenceDetected",
    "Failures",
]

IMPROVEMENT = 0.01  # of the best value: less is none
FAILURES = 5  # trials without a value, and none with one: more would end as these did

# CompleteOnConvergence: so many trials at least, and of them this many last ones, or that share, without an
# improvement. AWS does not tell its rule.
CONVERGED_TRIALS = 20
CONVERGED_LAST = 10
CONVERGED_SHARE = 3


@dataclass(frozen=True, slots=True)
class Completion:
    """Why no more trials are started.

    failure: of the tuning job; "": it completes.
    at_once: trials that run are stopped; else the job ends when they do.
    """

    reason: Reason
    failure: str = ""
    at_once: bool = False


def completion(tuning: Tuning, trials: Sequence[Trial], seconds: float) -> Completion | None:
    """Has the job come to its end, after so many seconds? None: it goes on. To be asked at each end of a
    trial, the last one's too, which may make the job fail; and now and then for the time."""
    spent = remaining(tuning, trials) == 0
    last = spent and not any(trial.running for trial in trials)
    if failure := _failure(trials, last=last):
        return Completion("Failures", failure, at_once=True)
    if tuning.seconds is not None and seconds >= tuning.seconds:
        return Completion("MaxRuntimeInSeconds", at_once=True)
    if tuning.target is not None and any(_reaches(tuning, trial) for trial in trials):
        return Completion("TargetObjectiveMetricValue", at_once=True)
    stale = not_improving(tuning, trials)
    if tuning.not_improving is not None and stale >= tuning.not_improving:
        return Completion("BestObjectiveNotImproving", at_once=True)
    ended = sum(trial.value is not None for trial in trials)
    patience = max(CONVERGED_LAST, ended // CONVERGED_SHARE)
    if tuning.convergence and ended >= CONVERGED_TRIALS and stale >= patience:
        return Completion("ConvergenceDetected", at_once=True)
    return Completion("MaxNumberOfTrainingJobs") if spent else None


def not_improving(tuning: Tuning, trials: Sequence[Trial]) -> int:
    """How many of the trials that ended last, in a row, did not improve the best before them by a hundredth:
    `NumberOfTrainingJobsObjectiveNotImproving`."""
    best: float | None = None
    count = 0
    for trial in in_order(trials):
        if trial.value is None:
            continue
        loss = -trial.value if tuning.maximize else trial.value
        if best is None or loss < best - IMPROVEMENT * abs(best):
            count = 0
        else:
            count += 1
        best = loss if best is None else min(best, loss)
    return count


def remaining(tuning: Tuning, trials: Sequence[Trial]) -> int | None:
    """How many trials may still be started beside those there are; None: any number. Parents' trials count
    toward the limit of accounts (`warm_start.check`), not toward the job's own."""
    return None if tuning.max_jobs is None else max(0, tuning.max_jobs - len(trials))


def _reaches(tuning: Tuning, trial: Trial) -> bool:
    if trial.value is None or tuning.target is None:
        return False
    return trial.value >= tuning.target if tuning.maximize else trial.value <= tuning.target


def _failure(trials: Sequence[Trial], *, last: bool) -> str:
    """Why the job has failed; "": it has not."""
    ended = in_order(trials)
    if any(trial.value is not None for trial in ended) or (len(ended) < FAILURES and not (last and ended)):
        return ""
    reason = next((trial.reason for trial in ended if trial.reason), "")
    if all(trial.status == "Failed" for trial in ended):
        return (
            "All training jobs failed. Please take a look at the training jobs failures to get more details."
            + (f" The first: {reason}" if reason else "")
        )
    return (
        f"No objective metrics found after running {len(ended)} training jobs. Please ensure that the custom "
        "algorithm is emitting the objective metric as defined by the regular expression provided."
    )
