"""Hyperband: brackets, rungs and what they save."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from optml.errors import UserError
from optml.local.tuning import hyperband
from optml.local.tuning.definition import Resource, Tuning
from optml.local.tuning.stopping import stops
from optml.local.tuning.trials import Trial
from tests.local.tuning.requests import continuous, tuning

RESOURCE = Resource(1, 27)


def job(**fields: object) -> Tuning:
    config = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 27}}
    options = {"strategy": "Hyperband", "StrategyConfig": config, "continuous": [continuous("eta", 0, 1)]}
    return tuning(**(options | fields))


def curve(source: random.Random) -> list[float]:
    """A learning curve of 27 epochs that falls to a level of its own at a speed of its own, with noise."""
    level, speed = source.lognormvariate(0, 1), source.uniform(0.1, 1.0)
    return [level + 3 * 2.718 ** (-speed * epoch) + source.gauss(0, 0.02) for epoch in range(1, 28)]


def run(tuning: Tuning, curves: list[list[float]], parallel: int = 4) -> list[Trial]:
    """The trials as they end, each running one taking an epoch in turn."""
    trials: dict[int, Trial] = {}
    waiting = list(range(1, len(curves) + 1))
    running: list[int] = []
    while waiting or running:
        while waiting and len(running) < parallel:
            running.append(waiting.pop(0))
        for number in list(running):
            step = len(trials[number].values) + 1 if number in trials else 1
            trial = Trial(number, {}, values=tuple(curves[number - 1][:step]))
            trials[number] = trial
            stopped = stops(tuning, list(trials.values()), trial, judged=step - 1)
            if stopped or step == 27:
                status = "Stopped" if stopped else "Completed"
                trials[number] = Trial(number, {}, status, trial.values)
                running.remove(number)
    return list(trials.values())


def test_rungs_are_powers_of_three_below_the_most() -> None:
    assert hyperband.rungs(RESOURCE) == [1, 3, 9]
    assert hyperband.rungs(Resource(2, 20)) == [2, 6, 18]


def test_brackets_have_the_proportions_of_hyperband() -> None:
    counts = Counter(hyperband.bracket(number, RESOURCE) for number in range(1, 46))
    for bracket, size in enumerate((27, 12, 6)):
        assert abs(counts[bracket] - size) <= 1


def test_a_third_and_two_go_on_at_a_rung() -> None:
    tuning = job()
    numbers = [number for number in range(1, 50) if hyperband.bracket(number, RESOURCE) == 0][:9]
    recorded = [Trial(number, {}, values=(float(value),)) for value, number in enumerate(numbers)]
    fates = [stops(tuning, recorded, trial) for trial in recorded]
    assert fates == [False] * 5 + [True] * 4


def test_nothing_ends_before_its_least_resource_or_between_rungs() -> None:
    config = {"HyperbandStrategyConfig": {"MinResource": 3, "MaxResource": 27}}
    tuning = job(StrategyConfig=config)
    good = [Trial(number, {}, values=(0.0,) * 8) for number in range(1, 30)]
    for step in (1, 2, 4, 8):
        bad = Trial(30, {}, values=(9.0,) * step)
        assert not stops(tuning, [*good, bad], bad, judged=step - 1)


def test_the_best_of_the_sample_is_found_in_eight_of_ten_for_half_of_the_epochs() -> None:
    hits = epochs = stopped = 0
    for seed in range(30):
        source = random.Random(seed)
        curves = [curve(source) for _ in range(40)]
        trials = run(job(), curves)
        finals = [values[-1] for values in curves]
        hits += min(trial.values[-1] for trial in trials if len(trial.values) == 27) == min(finals)
        epochs += sum(len(trial.values) for trial in trials)
        stopped += sum(trial.status == "Stopped" for trial in trials)
    assert hits >= 24
    assert epochs <= 30 * 40 * 27 / 2
    assert stopped >= 30 * 40 / 2


def test_a_job_of_more_epochs_than_the_most_is_stopped_there() -> None:
    trial = Trial(1, {}, values=(1.0,) * 27)
    assert stops(job(static={"epochs": "50"}), [trial], trial, judged=26)
    assert not stops(job(static={"epochs": "27"}), [trial], trial, judged=26)  # it ends by itself


def test_the_most_is_told_by_the_static_epochs() -> None:
    tuning = job(static={"epochs": "81"}, StrategyConfig={})
    assert tuning.resource == Resource(1, 81)
    with pytest.raises(UserError, match="Hyperband needs MaxResource"):
        job(StrategyConfig={})


def test_the_median_rule_beside_it_is_refused() -> None:
    with pytest.raises(UserError, match="set TrainingJobEarlyStoppingType to Off"):
        job(TrainingJobEarlyStoppingType="Auto")
