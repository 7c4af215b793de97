"""Training jobs: created, described, listed, stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optml.local.control.errors import validation
from optml.local.control.jobs import lifecycle, metrics
from optml.local.control.resources import AlreadyThereError, Resource
from optml.local.control.services import named

if TYPE_CHECKING:
    from optml.local.control.plane import Plane

KIND = "TrainingJob"


def create(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    try:
        job = submit(plane, request, region)
    except AlreadyThereError as error:
        raise named.taken("Training job", error.resource.arn) from None
    return {"TrainingJobArn": job.arn}


def submit(plane: Plane, request: dict[str, Any], region: str, **state: Any) -> Resource:
    """Put a job into the queue; `state`: what its description has beyond its request. Raises
    AlreadyThereError."""
    algorithm = request["AlgorithmSpecification"]
    if not algorithm.get("TrainingImage"):
        raise validation("You must specify a TrainingImage: optml knows no algorithm resources.")
    name = request["TrainingJobName"]
    job = plane.resources.create(
        KIND,
        name,
        region,
        request,
        "InProgress",
        SecondaryStatus="Starting",
        SecondaryStatusTransitions=lifecycle.first(),
        **state,
    )
    if plane.scheduler.full:
        busy = f"Waiting for resources: {plane.scheduler.busy} of {plane.slots} slots in use"
        lifecycle.advance(plane.resources, name, "Pending", message=busy, only_from=("InProgress",))
    plane.scheduler.wake()
    return job


def describe(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    job = named.job(plane, KIND, request["TrainingJobName"])
    found = named.description(job)
    found["OutputDataConfig"] = {"KmsKeyId": "", **found["OutputDataConfig"]}
    definitions = job.state.get("MetricDefinitions", [])
    found["AlgorithmSpecification"] = {"MetricDefinitions": definitions, **found["AlgorithmSpecification"]}
    found["FinalMetricDataList"] = metrics.final(job.name, plane.database)
    for name in (
        "EnableManagedSpotTraining",
        "EnableNetworkIsolation",
        "EnableInterContainerTrafficEncryption",
    ):
        found.setdefault(name, False)
    return found


def stop(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    job = named.job(plane, KIND, request["TrainingJobName"])
    moved = lifecycle.advance(
        plane.resources, job.name, "Stopping", status="Stopping", only_from=("InProgress",)
    )
    if moved is None and job.status != "Stopping":
        raise validation("The request was rejected because the training job is in status " + job.status + ".")
    if not plane.scheduler.stop(KIND, job.name):  # it waits in the queue
        lifecycle.advance(plane.resources, job.name, "Stopped", status="Stopped", only_from=("Stopping",))
    return {}


OPERATIONS = {
    "CreateTrainingJob": create,
    "DescribeTrainingJob": describe,
    "ListTrainingJobs": named.listing(KIND),
    "StopTrainingJob": stop,
}
