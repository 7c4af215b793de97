"""The hyperparameters of the next trials."""

from __future__ import annotations

from collections.abc import Sequence

from optml.local.tuning import draws
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
        definition = _turn(tuning, known)
        own = [trial for trial in known if trial.definition == definition.name]
        proposals.append(Proposal(number, definition.name, draws.draw(definition, own, tuning.seed, number)))
    return proposals


def _turn(tuning: Tuning, trials: Sequence[Trial]) -> Definition:
    """Of several algorithms the one that has had the fewest trials; the first of equals."""
    counts = {definition.name: 0 for definition in tuning.definitions}
    for trial in trials:
        counts[trial.definition] += 1
    return min(tuning.definitions, key=lambda definition: counts[definition.name])
