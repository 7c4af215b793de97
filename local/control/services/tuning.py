"""Tuning jobs: created, described, listed, stopped, deleted."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from optml.errors import UserError
from optml.local.control.errors import validation
from optml.local.control.resources import AlreadyThereError, Resource
from optml.local.control.services import named
from optml.local.control.services.logs import decode_token, encode_token
from optml.local.control.tuning.state import KIND, TuningState, definitions, ended, table_of
from optml.local.tuning import proposals, warm_start
from optml.local.tuning import request as requests
from optml.local.tuning.definition import Tuning

if TYPE_CHECKING:
    from optml.local.control.plane import Plane


def create(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    try:
        tuning = requests.read(request, table_of, limits=plane.options.limits)
        _check(plane, request, tuning)
    except UserError as error:
        raise validation(str(error)) from None
    try:
        job = plane.resources.create(
            KIND, tuning.name, region, request, "InProgress", Notices=list(tuning.notices)
        )
    except AlreadyThereError as error:
        raise named.taken("Hyperparameter tuning job", error.resource.arn) from None
    plane.tuning.wake()
    return {"HyperParameterTuningJobArn": job.arn}


def _check(plane: Plane, request: dict[str, Any], tuning: Tuning) -> None:
    """What the request alone does not tell. Raises UserError."""
    if tuning.strategy in proposals.HEAVY and find_spec("optuna") is None:
        raise UserError(
            f"The strategy {tuning.strategy} needs optuna: pip install 'optml[tuning]', or choose Random."
        )
    for content in definitions(request):
        if not content["AlgorithmSpecification"].get("TrainingImage"):
            raise UserError("You must specify a TrainingImage: optml knows no algorithm resources.")
    if tuning.warm_start is not None:
        jobs = [plane.resources.get(KIND, name) for name in tuning.parents]
        states = [TuningState.of(plane, job) for job in jobs if job is not None]
        warm_start.check(
            tuning,
            {state.job.name: (state.tuning, state.job.status, len(state.children)) for state in states},
        )


def describe(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    job = named.job(plane, KIND, request[f"{KIND}Name"])
    return named.description(job) | TuningState.of(plane, job).description(plane)


def listing(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    def summary(job: Resource) -> dict[str, Any]:
        config = job.request["HyperParameterTuningJobConfig"]
        shared = {name: config[name] for name in ("Strategy", "ResourceLimits")}
        return named.description(job) | TuningState.of(plane, job).counters() | shared

    summaries, token = named.page(plane, KIND, request, summary)
    return {"HyperParameterTuningJobSummaries": summaries, "NextToken": token}


def training_jobs(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    """The children; by value, those without one are left out, as on AWS."""
    state = TuningState.of(plane, named.job(plane, KIND, request[f"{KIND}Name"]))
    status, by = request.get("StatusEquals"), request.get("SortBy", "Name")
    children = [child for child in state.children if status in (None, child.status)]
    if by == "FinalObjectiveMetricValue":
        children = [child for child in children if child.trial.value is not None]
        children.sort(key=lambda child: child.trial.value or 0.0)
    elif by == "Status":
        children.sort(key=lambda child: child.status)
    elif by == "CreationTime":
        children.sort(key=lambda child: child.created)
    if request.get("SortOrder") == "Descending":
        children.reverse()
    start = decode_token(request.get("NextToken"))
    end = start + request.get("MaxResults", 10)
    return {
        "TrainingJobSummaries": [state.summary(child) for child in children[start:end]],
        "NextToken": encode_token(end) if end < len(children) else None,
    }


def stop(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    job = named.job(plane, KIND, request[f"{KIND}Name"])
    moved = plane.resources.update(KIND, job.name, "Stopping", only_from=("InProgress",))
    if moved is None and job.status != "Stopping":
        raise validation(
            f"The request was rejected because the hyperparameter tuning job is in status {job.status}."
        )
    return {}


def delete(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    """Its training jobs stay."""
    job = named.job(plane, KIND, request[f"{KIND}Name"])
    if not ended(job):
        raise validation(f"The hyperparameter tuning job is in status {job.status}: stop it first.")
    with plane.database.write() as connection:
        connection.execute("DELETE FROM trials WHERE tuning = ?", (job.name,))
    plane.resources.delete(KIND, job.name)
    return {}


OPERATIONS = {
    "CreateHyperParameterTuningJob": create,
    "DescribeHyperParameterTuningJob": describe,
    "ListHyperParameterTuningJobs": listing,
    "ListTrainingJobsForHyperParameterTuningJob": training_jobs,
    "StopHyperParameterTuningJob": stop,
    "DeleteHyperParameterTuningJob": delete,
}
