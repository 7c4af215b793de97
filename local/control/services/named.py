"""Resources by name: descriptions and lists, the same for every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optml.local.control.errors import ApiError, validation
from optml.local.control.resources import Resource
from optml.local.control.services.logs import decode_token, encode_token

if TYPE_CHECKING:
    from optml.local.control.plane import Plane

_SORTED = {"Name": "name", "Status": "status", "LastModifiedTime": "modified"}


def description(resource: Resource) -> dict[str, Any]:
    """The request, and what became of it: what a Describe projects on its shape."""
    kind = resource.kind
    times = {"CreationTime": resource.created, "LastModifiedTime": resource.modified}
    own = {f"{kind}Name": resource.name, f"{kind}Arn": resource.arn, f"{kind}Status": resource.status}
    return {**resource.request, **times, **resource.state, **own}


def page(
    plane: Plane,
    kind: str,
    request: Mapping[str, Any],
    summary: Callable[[Resource], dict[str, Any]] = description,
    keep: Callable[[Resource], bool] = lambda resource: True,
) -> tuple[list[dict[str, Any]], str | None]:
    """The summaries that a List asks for, and the token of the next page."""
    found = [each for each in plane.resources.all(kind) if _wanted(each, request) and keep(each)]
    attribute = _SORTED.get(request.get("SortBy", ""), "created")
    order = request.get("SortOrder", "Ascending" if attribute == "name" else "Descending")
    found.sort(key=lambda each: getattr(each, attribute), reverse=order == "Descending")
    start = decode_token(request.get("NextToken"))
    end = start + request.get("MaxResults", 10)
    token = encode_token(end) if end < len(found) else None
    return [summary(each) for each in found[start:end]], token


def _wanted(resource: Resource, request: Mapping[str, Any]) -> bool:
    after, before = request.get("CreationTimeAfter"), request.get("CreationTimeBefore")
    later, earlier = request.get("LastModifiedTimeAfter"), request.get("LastModifiedTimeBefore")
    return (
        request.get("NameContains", "").lower() in resource.name.lower()
        and request.get("StatusEquals", resource.status) == resource.status
        and (after is None or resource.created > after)
        and (before is None or resource.created < before)
        and (later is None or resource.modified > later)
        and (earlier is None or resource.modified < earlier)
    )


def listing(kind: str) -> Callable[[Plane, dict[str, Any], str], dict[str, Any]]:
    """The operation List<kind>s."""

    def operation(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
        summaries, token = page(plane, kind, request)
        name = {"TrainingJob": "TrainingJobSummaries", "TransformJob": "TransformJobSummaries"}
        return {name.get(kind, f"{kind}s"): summaries, "NextToken": token}

    return operation


def job(plane: Plane, kind: str, name: str) -> Resource:
    """Raises ApiError for an unknown one."""
    found = plane.resources.get(kind, name)
    if found is None:
        raise validation("Requested resource not found.")
    return found


def taken(what: str, arn: str) -> ApiError:
    """The name of a job is taken."""
    return ApiError(
        "ResourceInUse",
        f"{what} names must be unique within an AWS account and region, and a {what.lower()} already exists"
        f" with this name ({arn})",
    )
