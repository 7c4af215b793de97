"""The hyperparameters of the next trials."""

from __future__ import annotations

from collections.abc import Sequence

from optml.local.tuning import draws, grid
from optml.local.tuning.definition import Definition, Tuning
from optml.local.tuning.trials import Parent, Proposal, Trial, pending

# Strategies whose proposals take NumPy and torch: a server that must stay small asks a process of its own.
HEAVY = frozenset({"Bayesian"})


def propose(
    tuning: Tuning, trials: Sequence[Trial], count: int, parents: Sequence[Parent] = ()
) -> list[Proposal]:
    """`count` further trials, numbered on from those there are; fewer where a grid has no more.

    trials:  all of the job, finished and running; those running are taken into account, so what is proposed
             beside them differs.
    parents: of a warm start.

    The same arguments give the same proposals. How many may be started is for `completion.remaining` to say.
    Raises UserError where the strategy's library is not installed.
    """
    proposals: list[Proposal] = []
    number = max((trial.number for trial in trials), default=0)
    for _ in range(count):
        number += 1
        known = [*trials, *map(pending, proposals)]
        for definition in _turns(tuning, known):
            own = [trial for trial in known if trial.definition == definition.name]
            point = _point(tuning, definition, own, number, parents)
            if point is not None:
                proposals.append(Proposal(number, definition.name, point))
                break
    return proposals


def _turns(tuning: Tuning, trials: Sequence[Trial]) -> list[Definition]:
    """The algorithms, first the one that has had the fewest trials."""
    counts = {definition.name: 0 for definition in tuning.definitions}
    for trial in trials:
        counts[trial.definition] += 1
    return sorted(tuning.definitions, key=lambda definition: counts[definition.name])


def _point(
    tuning: Tuning,
    definition: Definition,
    trials: Sequence[Trial],
    number: int,
    parents: Sequence[Parent],
) -> dict[str, str] | None:
    points = [trial.parameters for trial in trials]
    if tuning.strategy == "Grid":
        return grid.point(definition, points)
    if tuning.strategy == "Bayesian":
        from optml.local.tuning import bayesian

        known = bayesian.observations(tuning, definition, trials, parents)
        return bayesian.point(definition, known, tuning.seed, number)
    return draws.draw(definition, points, tuning.seed, number)
