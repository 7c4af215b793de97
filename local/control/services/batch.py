"""Transform jobs: created, described, listed, stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optml.local.control import arns
from optml.local.control.errors import validation
from optml.local.control.resources import AlreadyThereError
from optml.local.control.services import named

if TYPE_CHECKING:
    from optml.local.control.plane import Plane

KIND = "TransformJob"


def create(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    model = plane.resources.get("Model", request["ModelName"])
    if model is None:
        raise validation(f'Could not find model "{arns.arn("Model", request["ModelName"], region)}".')
    try:
        job = plane.resources.create(
            KIND, request["TransformJobName"], region, request, "InProgress", Model=model.request
        )
    except AlreadyThereError as error:
        raise named.taken("Transform job", error.resource.arn) from None
    plane.scheduler.wake()
    return {"TransformJobArn": job.arn}


def describe(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    return named.description(named.job(plane, KIND, request["TransformJobName"]))


def stop(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    job = named.job(plane, KIND, request["TransformJobName"])
    moved = plane.resources.update(KIND, job.name, "Stopping", only_from=("InProgress",))
    if moved is None and job.status != "Stopping":
        raise validation(f"The request was rejected because the transform job is in status {job.status}.")
    if not plane.scheduler.stop(KIND, job.name):  # it waits in the queue
        plane.resources.update(KIND, job.name, "Stopped", only_from=("Stopping",))
    return {}


OPERATIONS = {
    "CreateTransformJob": create,
    "DescribeTransformJob": describe,
    "ListTransformJobs": named.listing(KIND),
    "StopTransformJob": stop,
}
