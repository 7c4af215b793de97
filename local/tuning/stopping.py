"""Whether a running trial should end before its time."""

from __future__ import annotations

from collections.abc import Sequence

from optml.local.tuning import hyperband, median
from optml.local.tuning.definition import Tuning
from optml.local.tuning.trials import Trial


def stops(tuning: Tuning, trials: Sequence[Trial], trial: Trial, judged: int = 0) -> bool:
    """Should this trial, which has new values, be stopped? By SIGTERM, so that its model so far is kept.

    trials: all of the job, this one among them.
    judged: how many of the trial's values an earlier call has seen: each value is judged once.
    """
    definition = tuning.definition(trial.definition)
    others = [
        other for other in trials if other.definition == trial.definition and other.number != trial.number
    ]
    steps = range(judged + 1, len(trial.values) + 1)
    if tuning.resource is not None:
        # A job that has as many epochs as the resource allows ends there by itself, and completes.
        most = tuning.resource.most
        beyond = len(trial.values) >= most and definition.epochs != most
        return beyond or any(
            hyperband.falls(definition.objective, others, trial, step, tuning.resource) for step in steps
        )
    if not tuning.early_stopping:
        return False
    ended = [other for other in others if not other.running]
    return any(median.worse(definition.objective, ended, trial.values[step - 1], step) for step in steps)
