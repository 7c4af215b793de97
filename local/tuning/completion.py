"""Whether a tuning job has come to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from optml.local.tuning.definition import Tuning
from optml.local.tuning.trials import Parent, Trial

Reason = Literal[
    "MaxNumberOfTrainingJobs",
    "MaxRuntimeInSeconds",
    "TargetObjectiveMetricValue",
    "BestObjectiveNotImproving",
    "ConvergenceDetected",
    "Failures",
]


@dataclass(frozen=True, slots=True)
class Completion:
    """Why no more trials are started.

    failure: of the tuning job; "": it completes.
    at_once: trials that run are stopped; else the job ends when they do.
    """

    reason: Reason
    failure: str = ""
    at_once: bool = False


def completion(
    tuning: Tuning, trials: Sequence[Trial], seconds: float, parents: Sequence[Parent] = ()
) -> Completion | None:
    """Has the job come to its end, after so many seconds? None: it goes on. Asked at each end of a trial, and
    now and then for the time."""
    if tuning.seconds is not None and seconds >= tuning.seconds:
        return Completion("MaxRuntimeInSeconds", at_once=True)
    if remaining(tuning, trials, parents) == 0:
        return Completion("MaxNumberOfTrainingJobs")
    return None


def not_improving(tuning: Tuning, trials: Sequence[Trial]) -> int:
    """How many of the trials that ended last, in a row, did not improve the best before them by a hundredth:
    `NumberOfTrainingJobsObjectiveNotImproving`."""
    return 0


def remaining(tuning: Tuning, trials: Sequence[Trial], parents: Sequence[Parent] = ()) -> int | None:
    """How many trials may still be started, those running not counted; None: any number. Parents' trials
    count too."""
    if tuning.max_jobs is None:
        return None
    return max(0, tuning.max_jobs - len(trials) - sum(len(parent.trials) for parent in parents))
