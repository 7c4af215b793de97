"""Warm start: parents that may be, and what is taken from them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from optml.errors import UserError
from optml.local.tuning.definition import Tuning
from optml.local.tuning.trials import Parent, Trial
from optml.local.tuning.warm_start import check, observations
from tests.local.tuning.requests import categorical, continuous, integer, tuning

RANGES: dict[str, Any] = {
    "continuous": [continuous("eta", 0.1, 0.5)],
    "integer": [integer("depth", 1, 10)],
    "categorical": [categorical("kind", "fast", "good")],
    "static": {"note": "x"},
    "strategy": "Bayesian",
}
OLD = tuning(**RANGES)


def child(kind: str = "IdenticalDataAndAlgorithm", *, parents: int = 1, **fields: Any) -> Tuning:
    config = {
        "ParentHyperParameterTuningJobs": [
            {"HyperParameterTuningJobName": f"old-{number}"} for number in range(1, parents + 1)
        ],
        "WarmStartType": kind,
    }
    return tuning(**(RANGES | fields | {"top": {"WarmStartConfig": config}}))


def refusal(new: Tuning, old: Tuning = OLD, status: str = "Completed", jobs: int = 20) -> str:
    with pytest.raises(UserError) as error:
        check(new, dict.fromkeys(new.parents, (old, status, jobs)))
    return str(error.value)


def test_a_job_with_other_ranges_may_go_on_from_its_parent() -> None:
    check(child(continuous=[continuous("eta", 0.2, 0.9)]), {"old-1": (OLD, "Completed", 20)})
    check(child("TransferLearning"), {"old-1": (OLD, "Failed", 20)})


def test_what_a_parent_may_not_be() -> None:
    assert "takes 1 to 5 parents, not 6" in refusal(child(parents=6))
    assert "takes the strategy Bayesian or Random, not Grid" in refusal(
        child(
            strategy="Grid",
            jobs=None,
            continuous=[],
            integer=[],
            categorical=[categorical("kind", "fast", "good")],
            static={"note": "x", "eta": "0.1", "depth": "1"},
        )
    )
    assert "[old-1] is InProgress: it must have ended" in refusal(child(), status="InProgress")
    assert "are 520; the limit is 500" in refusal(child(), jobs=500)
    with pytest.raises(UserError, match=r"There is no hyperparameter tuning job \[old-1\]"):
        check(child(), {})


def test_what_must_stay_as_it_was() -> None:
    assert "they must be the same" in refusal(child(metric="validation:auc", direction="Maximize"))
    assert "hyperparameters, static and tunable" in refusal(child(static={"note": "x", "rate": "1"}))
    other = dataclasses.replace(OLD.definitions[0], image="mine:1")
    text = refusal(child(), dataclasses.replace(OLD, definitions=(other,)))
    assert "IdenticalDataAndAlgorithm needs the same" in text
    assert "[depth] was integer in the parent [old-1] and is categorical here" in refusal(
        child(integer=[], categorical=[categorical("depth", "1", "2"), categorical("kind", "fast", "good")])
    )


def test_ten_hyperparameters_may_change_and_eleven_not() -> None:
    def job(static: dict[str, str], **more: Any) -> Tuning:
        metrics = {"MetricDefinitions": [{"Name": "loss", "Regex": "(.*)"}]}
        algorithm = {"TrainingImage": "mine:1", "TrainingInputMode": "File", **metrics}
        return child(metric="loss", static=static, definition={"AlgorithmSpecification": algorithm}, **more)

    names = [f"h{number}" for number in range(11)]
    old = job(dict.fromkeys(names, "1"))
    check(job(dict.fromkeys(names[:10], "2") | {"h10": "1"}), {"old-1": (old, "Completed", 5)})
    assert "11 hyperparameters became static or tunable or changed" in refusal(
        job(dict.fromkeys(names, "2")), old
    )


def test_parents_observations_count_where_they_lie_in_the_new_ranges() -> None:
    trials = (
        Trial(1, {"eta": "0.2", "depth": "3", "kind": "fast"}, "Completed", (1.0,)),
        Trial(2, {"eta": "0.4", "depth": "3", "kind": "fast"}, "Completed", (2.0,)),
        Trial(3, {"eta": "0.2", "depth": "4", "kind": "good"}, "Stopped", (3.0, 2.5)),
        Trial(4, {"eta": "0.2", "depth": "4", "kind": "good"}, "Failed"),
    )
    parent = Parent("old-1", trials, OLD.definitions[0].static)
    narrow = child(continuous=[continuous("eta", 0.1, 0.3)])
    taken = list(observations(narrow, narrow.definitions[0], [parent]))
    assert [loss for _, loss in taken] == [1.0, 2.5]
    # What was tuned there and is static here must have had the value that it has here.
    static = child(categorical=[], static={"note": "x", "kind": "good"})
    taken = list(observations(static, static.definitions[0], [parent]))
    assert taken == [({"eta": "0.2", "depth": "4"}, 2.5)]
    # What was static there and is tuned here has the value that it had there.
    moved = child(continuous=[continuous("eta", 0.1, 0.5), continuous("rate", 0.5, 2)])
    parent = Parent("old-1", trials[:1], {"rate": "1"})
    ((point, _),) = observations(moved, moved.definitions[0], [parent])
    assert point["rate"] == "1"


def test_transfer_takes_over_only_how_a_parents_trials_compare() -> None:
    trials = tuple(
        Trial(number, {"eta": f"0.{number}", "depth": "3", "kind": "fast"}, "Completed", (100.0 * number,))
        for number in (1, 3, 5)
    )
    job = child("TransferLearning")
    losses = [loss for _, loss in observations(job, job.definitions[0], [Parent("old-1", trials)])]
    assert losses == pytest.approx([-1.2247, 0, 1.2247], abs=1e-4)
