"""Application Auto Scaling: targets and policies of endpoint variants, kept and acted on."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from optml.local.control.arns import ACCOUNT
from optml.local.control.endpoints.scaling import variant_of
from optml.local.control.errors import ApiError
from optml.local.control.resources import AlreadyThereError

if TYPE_CHECKING:
    from optml.local.control.plane import Plane


def register(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    endpoint, variant = variant_of(request["ResourceId"])
    deployment = plane.endpoints.deployment(endpoint)
    if deployment is None or deployment.choose(variant) is None:
        raise ApiError("ValidationException", f"There is no {request['ResourceId']} in service.")
    _put(plane, "ScalableTarget", request["ResourceId"], region, request)
    return {
        "ScalableTargetARN": f"arn:aws:application-autoscaling:{region}:{ACCOUNT}:scalable-target/{variant}"
    }


def deregister(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    if not plane.resources.delete("ScalableTarget", request["ResourceId"]):
        raise _none("scalable target", request["ResourceId"])
    for policy in _policies(plane, request["ResourceId"]):
        plane.resources.delete("ScalingPolicy", policy.name)
    return {}


def describe_targets(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    wanted = request.get("ResourceIds")
    targets = [
        {**each.request, "CreationTime": each.created, "RoleARN": each.request.get("RoleARN", "")}
        for each in plane.resources.all("ScalableTarget")
        if not wanted or each.name in wanted
    ]
    return {"ScalableTargets": targets}


def put_policy(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    if plane.resources.get("ScalableTarget", request["ResourceId"]) is None:
        raise _none("scalable target", request["ResourceId"])
    arn = f"arn:aws:autoscaling:{region}:{ACCOUNT}:scalingPolicy:{uuid.uuid4()}"
    _put(plane, "ScalingPolicy", _policy_name(request), region, {**request, "PolicyARN": arn})
    return {"PolicyARN": arn, "Alarms": []}


def delete_policy(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    if not plane.resources.delete("ScalingPolicy", _policy_name(request)):
        raise _none("scaling policy", request["PolicyName"])
    return {}


def describe_policies(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    names = request.get("PolicyNames")
    policies = [
        {"Alarms": [], **each.request, "CreationTime": each.created}
        for each in _policies(plane, request.get("ResourceId"))
        if not names or each.request["PolicyName"] in names
    ]
    return {"ScalingPolicies": policies}


def describe_activities(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    return {"ScalingActivities": plane.scaling.activities(request.get("ResourceId"))}


def _put(plane: Plane, kind: str, name: str, region: str, request: dict[str, Any]) -> None:
    try:
        plane.resources.create(kind, name, region, request, "", At=time.time())
    except AlreadyThereError as error:  # registered again: what is said now counts
        plane.resources.update(kind, name, request={**error.resource.request, **request})


def _policies(plane: Plane, resource: str | None) -> list[Any]:
    found = plane.resources.all("ScalingPolicy")
    return [each for each in found if resource in (None, each.request["ResourceId"])]


def _policy_name(request: dict[str, Any]) -> str:
    return f"{request['ResourceId']}/{request['PolicyName']}"


def _none(what: str, name: str) -> ApiError:
    return ApiError("ObjectNotFoundException", f"No {what} registered for {name}.")


OPERATIONS = {
    "RegisterScalableTarget": register,
    "DeregisterScalableTarget": deregister,
    "DescribeScalableTargets": describe_targets,
    "PutScalingPolicy": put_policy,
    "DeleteScalingPolicy": delete_policy,
    "DescribeScalingPolicies": describe_policies,
    "DescribeScalingActivities": describe_activities,
}
