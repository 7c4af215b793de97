"""Hyperband's brackets and rungs, decided as each trial comes to one (asynchronous successive halving).

L. Li et al., "Hyperband", JMLR 18 (2018); L. Li et al., "A System for Massively Parallel Hyperparameter
Tuning", MLSys 2020. The resource of a trial is the number of values that its objective has had. A bracket has
its rungs at MinResource times powers of three, the s-th bracket leaving out the s lowest; brackets that judge
early get more trials, in Hyperband's own proportions.

Two things differ from the papers, for jobs of some dozens of trials; both were chosen on four families of
made curves, where they find the best of a sample more often than rules that cost as much. A trial is judged
against all that have come to its rung, of whatever bracket, and goes on if it is of the best third with a
margin of two. And there is no bracket that judges nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from math import ceil

from optml.local.tuning.definition import Objective, Resource
from optml.local.tuning.trials import Trial

FACTOR = 3
MARGIN = 2  # trials, beside the third: of few rivals a third says little
GOLDEN = (5**0.5 - 1) / 2


def rungs(resource: Resource) -> list[int]:
    """All of them, below MaxResource."""
    levels = []
    level = resource.least
    while level < resource.most:
        levels.append(level)
        level *= FACTOR
    return levels


def bracket(number: int, resource: Resource) -> int:
    """How many of the lowest rungs a trial passes by, from 0.

    Multiples of the golden ratio fall into the brackets' shares of [0, 1) as evenly as can be, from the first
    trials on.
    """
    count = len(rungs(resource))
    sizes = [ceil((count + 1) / (s + 1) * FACTOR**s) for s in range(count, 0, -1)]
    place = number * GOLDEN % 1.0 * sum(sizes)
    return next(s for s, size in enumerate(accumulate(sizes)) if place < size)


def falls(objective: Objective, trials: Iterable[Trial], trial: Trial, step: int, resource: Resource) -> bool:
    """Does a trial end at its step-th value, counted from 1?

    trials: of the same algorithm, this one among them or not.
    """
    if step not in rungs(resource)[bracket(trial.number, resource) :]:
        return False
    losses = [
        objective.loss(other.values[step - 1])
        for other in trials
        if other.number != trial.number and len(other.values) >= step
    ]
    own = objective.loss(trial.values[step - 1])
    return sum(loss < own for loss in losses) >= (len(losses) + 1) // FACTOR + MARGIN
