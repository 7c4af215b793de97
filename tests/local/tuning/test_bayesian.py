"""Bayesian search, and proposals asked of the program beside a server."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest

from optml.errors import UserError
from optml.local.tuning import __main__ as program
from optml.local.tuning import bayesian
from optml.local.tuning.definition import Tuning
from optml.local.tuning.proposals import propose
from optml.local.tuning.trials import Parent, Trial, pending
from tests.local.tuning.requests import IMAGE, TOY, categorical, continuous, integer, read, tuning_request

MIXED: dict[str, Any] = {
    "continuous": [continuous("eta", 0, 1), continuous("rate", 1e-4, 10, "Logarithmic")],
    "integer": [integer("depth", 1, 9)],
    "categorical": [categorical("kind", "fast", "good")],
    "strategy": "Bayesian",
}
REQUEST = tuning_request(**MIXED)
JOB = read(REQUEST)


def loss(parameters: Any) -> float:
    """Smallest, 0, at eta .3, rate .01, depth 6, kind good."""
    return float(
        10 * (float(parameters["eta"]) - 0.3) ** 2
        + (math.log10(float(parameters["rate"])) + 2) ** 2 / 4
        + (int(parameters["depth"]) - 6) ** 2 / 16
        + (parameters["kind"] == "fast")
    )


def run(job: Tuning, count: int, trials: list[Trial], parents: tuple[Parent, ...] = ()) -> list[Trial]:
    """So many trials more, one after another."""
    trials = list(trials)
    for _ in range(count):
        (proposal,) = propose(job, trials, 1, parents)
        value = loss(proposal.parameters)
        trials.append(Trial(proposal.number, proposal.parameters, "Completed", (value,)))
    return trials


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return run(JOB, 22, [])


def test_it_finds_what_random_search_does_not(trials: list[Trial]) -> None:
    best = min(trial.values[-1] for trial in trials)
    random = run(read(tuning_request(**MIXED | {"strategy": "Random"})), 22, [])
    assert best < 0.1 < min(trial.values[-1] for trial in random)


def test_a_job_that_was_killed_goes_on_as_if_it_had_not_been(trials: list[Trial]) -> None:
    kept = [Trial.from_json(json.loads(json.dumps(trial.to_json()))) for trial in trials[:12]]
    assert run(JOB, 2, kept)[12:] == trials[12:14]


def test_proposals_beside_running_trials_differ_from_them(trials: list[Trial]) -> None:
    at_once = propose(JOB, trials, 4)
    assert len({tuple(proposal.parameters.items()) for proposal in at_once}) == 4
    # Asked for one by one, each seeing those before it run, they are the same.
    running = [*trials, *map(pending, at_once[:2])]
    assert propose(JOB, running, 1) == [at_once[2]]


def test_a_search_does_not_come_back_to_where_trials_fail(trials: list[Trial]) -> None:
    known = list(trials)
    for _ in range(4):
        (proposal,) = propose(JOB, known, 1)
        known.append(Trial(proposal.number, proposal.parameters, "Failed"))
    etas = [float(trial.parameters["eta"]) for trial in known[-4:]]
    assert len(set(etas)) == 4
    assert max(etas) - min(etas) > 0.05


def test_no_point_comes_twice_while_there_are_others() -> None:
    few = read(tuning_request(integer=[integer("depth", 1, 9)], strategy="Bayesian"))
    seen: list[Trial] = []
    for _ in range(9):
        (proposal,) = propose(few, seen, 1)
        value = float(proposal.parameters["depth"])
        seen.append(Trial(proposal.number, proposal.parameters, "Completed", (value,)))
    assert {trial.parameters["depth"] for trial in seen} == set(map(str, range(1, 10)))


@pytest.mark.parametrize("kind", ["IdenticalDataAndAlgorithm", "TransferLearning"])
def test_a_warm_start_begins_where_its_parents_ended(trials: list[Trial], kind: str) -> None:
    config = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "old"}],
        "WarmStartType": kind,
    }
    child = read(tuning_request(**MIXED | {"seed": 7}, top={"WarmStartConfig": config}))
    parent = Parent("old", tuple(trials[:20]))
    cold = min(trial.values[-1] for trial in trials[:5])
    warm = min(trial.values[-1] for trial in run(child, 5, [], (parent,)))
    assert warm < cold / 4
    if kind == "IdenticalDataAndAlgorithm":
        assert 1 + warm <= 1.01 * (1 + min(trial.values[-1] for trial in parent.trials))


def test_without_its_library_the_strategy_says_what_to_install(
    trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UserError, match=r"needs optuna: pip install 'optml\[tuning\]', or choose Random"):
        propose(JOB, trials, 1)


def test_few_trials_are_drawn_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bayesian, "_optuna", lambda: pytest.fail("the library was asked"))
    assert len(propose(JOB, (), 4)) == 4


def test_the_program_answers_a_question_a_line(
    trials: list[Trial], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    question = {
        "request": REQUEST,
        "tables": {IMAGE: TOY.to_json()},
        "trials": [trial.to_json() for trial in trials],
        "count": 1,
    }
    lines = [{"propose": question}, {"table": "nothing"}, {"table": "kmeans"}]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(json.dumps(line) + "\n" for line in lines)))
    program.main()
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    (proposal,) = propose(JOB, trials, 1)
    assert first["proposals"] == [{"number": 23, "definition": "", "parameters": dict(proposal.parameters)}]
    assert "nothing" in second["error"]
    assert third["table"]["slug"] == "kmeans"
