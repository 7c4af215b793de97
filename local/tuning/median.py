"""The median rule of early stopping (TrainingJobEarlyStoppingType Auto).

At the e-th value of a running trial: of every earlier trial that has ended the average of its first e values;
the trial is stopped if its value is worse than the median of these averages.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, median

from optml.local.tuning.definition import Objective
from optml.local.tuning.trials import Trial

LEAST_TRIALS = 3  # earlier ones, before anything is stopped: a median of fewer says little
LEAST_VALUES = 2  # of the trial itself


def worse(objective: Objective, earlier: Iterable[Trial], value: float, step: int) -> bool:
    """Is the step-th value of a trial, counted from 1, worse than the median of the earlier trials' averages?

    earlier: those that have ended; of them count those with a value that are not Failed.
    """
    averages = [fmean(trial.values[:step]) for trial in earlier if trial.value is not None]
    if len(averages) < LEAST_TRIALS or step < LEAST_VALUES:
        return False
    return objective.better(median(averages), value)
