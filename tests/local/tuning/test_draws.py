"""Random search."""

from __future__ import annotations

from optml.local.tuning.proposals import propose
from optml.local.tuning.trials import Trial
from tests.local.tuning.requests import continuous, integer, tuning

JOB = tuning(continuous=[continuous("eta", 0, 1)], integer=[integer("depth", 1, 10)])


def test_the_same_seed_draws_the_same_points_however_many_are_asked_for_at_once() -> None:
    at_once = propose(JOB, (), 6)
    trials: list[Trial] = []
    for _ in range(6):
        (proposal,) = propose(JOB, trials, 1)
        # What became of the others does not matter.
        trials.append(Trial(proposal.number, proposal.parameters, "Completed", (0.5,)))
    assert [trial.parameters for trial in trials] == [proposal.parameters for proposal in at_once]
    assert [proposal.number for proposal in at_once] == [1, 2, 3, 4, 5, 6]


def test_another_seed_draws_others() -> None:
    other = tuning(continuous=[continuous("eta", 0, 1)], integer=[integer("depth", 1, 10)], seed=2)
    assert propose(JOB, (), 1)[0].parameters != propose(other, (), 1)[0].parameters


def test_no_point_is_drawn_twice_while_there_are_others() -> None:
    few = tuning(integer=[integer("depth", 1, 4)])
    drawn = {proposal.parameters["depth"] for proposal in propose(few, (), 4)}
    assert drawn == {"1", "2", "3", "4"}
    assert propose(few, (), 8)[7].parameters["depth"] in drawn
