"""Hyperband's brackets and rungs, decided as each trial comes to one (asynchronous successive halving).

L. Li et al., "Hyperband", JMLR 18 (2018); L. Li et al., "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020. The resource of a trial is the number of values that its objective has had. A bracket has
its rungs at MinResource times powers of three, the s-th bracket leaving out the s lowest; at a rung a trial
goes on if it is of the best third, rounded up, of the trials of its bracket that have come there. Brackets
that judge early get more trials, in Hyperband's own proportions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from math import ceil

from optml.local.tuning.definition import Objective, Resource
from optml.local.tuning.trials import Trial

FACTOR = 3


def rungs(resource: Resource) -> list[int]:
    """All of them, below MaxResource."""
    levels = []
    level = resource.least
    while level < resource.most:
        levels.append(level)
        level *= FACTOR
    return levels


def bracket(number: int, resource: Resource) -> int:
    """How many of the lowest rungs a trial passes by, from 0; as many as there are: it is never judged."""
    return _brackets(number, len(rungs(resource)))


def falls(objective: Objective, trials: Iterable[Trial], trial: Trial, step: int, resource: Resource) -> bool:
    """Does a trial end at its step-th value, counted from 1?

    trials: of the same algorithm, this one among them or not.
    """
    own = bracket(trial.number, resource)
    if step not in rungs(resource)[own:]:
        return False
    rivals = [
        objective.loss(other.values[step - 1])
        for other in trials
        if other.number != trial.number
        and len(other.values) >= step
        and bracket(other.number, resource) == own
    ]
    loss = objective.loss(trial.values[step - 1])
    ahead = sum(rival < loss for rival in rivals)
    return ahead >= ceil((len(rivals) + 1) / FACTOR)


@cache
def _brackets(number: int, levels: int) -> int:
    """The bracket of a trial: the one that lags most behind its share of the trials so far."""
    sizes = [ceil((levels + 1) / (s + 1) * FACTOR**s) for s in reversed(range(levels + 1))]
    counts = [0] * len(sizes)
    chosen = 0
    for count in range(1, number + 1):
        shortfalls = [size / sum(sizes) * count - had for size, had in zip(sizes, counts, strict=True)]
        chosen = shortfalls.index(max(shortfalls))
        counts[chosen] += 1
    return chosen
