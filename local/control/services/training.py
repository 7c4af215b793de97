"""Training jobs: created, described, listed, stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optml.local.control.errors import validation
from optml.local.control.jobs import metrics
from optml.local.control.jobs.submission import KIND
from optml.local.control.resources import AlreadyThereError
from optml.local.control.services import named

if TYPE_CHECKING:
    from optml.local.control.plane import Plane


def create(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    if not request["AlgorithmSpecification"].get("TrainingImage"):
        raise validation("You must specify a TrainingImage: optml knows no algorithm resources.")
    try:
        job = plane.training.submit(request, region)
    except AlreadyThereError as error:
        raise named.taken("Training job", error.resource.arn) from None
    return {"TrainingJobArn": job.arn}


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
    if not plane.training.stop(job.name) and job.status != "Stopping":
        raise validation("The request was rejected because the training job is in status " + job.status + ".")
    return {}


OPERATIONS = {
    "CreateTrainingJob": create,
    "DescribeTrainingJob": describe,
    "ListTrainingJobs": named.listing(KIND),
    "StopTrainingJob": stop,
}
