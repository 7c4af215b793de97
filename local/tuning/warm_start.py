"""Warm start: which parents a job may have, and what their trials say to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, pstdev

from optml.errors import UserError
from optml.local.tuning.definition import OBJECTIVE, Definition, Tuning
from optml.local.tuning.trials import Parent, Trial

MAX_PARENTS = 5
MAX_CHANGES = 10  # of hyperparameters that became static or tunable, or changed their static value
MAX_JOBS = 500  # parents' among them
ENDED = ("Completed", "Stopped", "Failed")
ADDED = (OBJECTIVE, "save_model_on_termination")  # by the service, not by the request


def check(tuning: Tuning, parents: Mapping[str, tuple[Tuning, str, int]]) -> None:
    """May these be parents? name -> (the job, its status, how many trials it had).

    That the data are the same is for whoever knows the data. Raises UserError that lists all that is wrong.
    """
    problems = []
    if not 1 <= len(tuning.parents) <= MAX_PARENTS:
        problems.append(f"A warm start takes 1 to {MAX_PARENTS} parents, not {len(tuning.parents)}.")
    if tuning.strategy not in ("Bayesian", "Random"):
        problems.append(f"A warm start takes the strategy Bayesian or Random, not {tuning.strategy}.")
    jobs = sum(count for _, _, count in parents.values())
    if jobs + (tuning.max_jobs or 0) > MAX_JOBS:
        problems.append(
            f"The training jobs of this tuning job and of its parents are {jobs + (tuning.max_jobs or 0)}; "
            f"the limit is {MAX_JOBS}."
        )
    for name in tuning.parents:
        if name not in parents:
            problems.append(f"There is no hyperparameter tuning job [{name}] to be a parent.")
            continue
        parent, status, _ = parents[name]
        if status not in ENDED:
            problems.append(f"The parent [{name}] is {status}: it must have ended.")
        if len(parent.definitions) > 1:
            problems.append(f"The parent [{name}] has several algorithms: it cannot be a parent.")
        else:
            problems += _compare(tuning, parent, name)
    if problems:
        raise UserError("\n".join(problems))


def _compare(tuning: Tuning, parent: Tuning, name: str) -> Iterator[str]:
    """What of a job does not go with a parent."""
    (new,), (old,) = tuning.definitions[:1], parent.definitions
    if new.objective != old.objective:
        yield (
            f"The parent [{name}] has the objective {old.objective.type} {old.objective.metric}, and this "
            f"job {new.objective.type} {new.objective.metric}: they must be the same."
        )
    if tuning.warm_start == "IdenticalDataAndAlgorithm" and new.image != old.image:
        yield (
            f"The parent [{name}] has the training image {old.image}: IdenticalDataAndAlgorithm needs the "
            "same; TransferLearning does not."
        )
    new_spans, old_spans = ({span.name: span for span in one.ranges} for one in (new, old))
    new_static, old_static = (
        {key: text for key, text in one.static.items() if key not in ADDED} for one in (new, old)
    )
    counts = len(new_spans) + len(new_static), len(old_spans) + len(old_static)
    if counts[0] != counts[1]:
        yield (
            f"The parent [{name}] has {counts[1]} hyperparameters, static and tunable, and this job "
            f"{counts[0]}: the number must be the same."
        )
    for key in new_spans.keys() & old_spans.keys():
        if type(new_spans[key]) is not type(old_spans[key]):
            kinds = (type(old_spans[key]).__name__.lower(), type(new_spans[key]).__name__.lower())
            yield f"The hyperparameter [{key}] was {kinds[0]} in the parent [{name}] and is {kinds[1]} here."
    moved = (new_spans.keys() & old_static.keys()) | (old_spans.keys() & new_static.keys())
    changed = {key for key in new_static.keys() & old_static.keys() if new_static[key] != old_static[key]}
    if len(moved) + len(changed) > MAX_CHANGES:
        yield (
            f"{len(moved) + len(changed)} hyperparameters became static or tunable or changed their static "
            f"value since the parent [{name}]; the limit is {MAX_CHANGES}."
        )


def observations(
    tuning: Tuning, definition: Definition, parents: Iterable[Parent]
) -> Iterator[tuple[dict[str, str], float]]:
    """(parameters, loss) of the parents' trials that lie in this job's ranges and have its static values.

    Of TransferLearning the losses are standardised, parent by parent: only how a parent's trials compare with
    each other carries over.
    """
    for parent in parents:
        trials = [trial for trial in parent.trials if trial.value is not None]
        losses = [definition.objective.loss(trial.value or 0.0) for trial in trials]
        if tuning.warm_start == "TransferLearning":
            losses = standardised(losses)
        for trial, loss in zip(trials, losses, strict=True):
            parameters = _point(definition, parent, trial)
            if parameters is not None:
                yield parameters, loss


def standardised(losses: Sequence[float]) -> list[float]:
    """With mean 0 and standard deviation 1; of equal ones all 0."""
    if not losses:
        return []
    mean, deviation = fmean(losses), pstdev(losses)
    return [(loss - mean) / deviation if deviation else 0.0 for loss in losses]


def _point(definition: Definition, parent: Parent, trial: Trial) -> dict[str, str] | None:
    texts = {**parent.static, **trial.parameters}
    point = {}
    for span in definition.ranges:
        text = texts.get(span.name)
        if text is None or span.unit(text) is None:
            return None
        point[span.name] = text
    for name, text in trial.parameters.items():  # was tuned there, is static here
        if name not in point and not _same(text, definition.static.get(name, text)):
            return None
    return point


def _same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return one == other
