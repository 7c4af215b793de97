"""Tags of resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optml.local.control import arns
from optml.local.control.errors import validation

if TYPE_CHECKING:
    from optml.local.control.plane import Plane


def _known(plane: Plane, arn: str) -> str:
    """The ARN, of something that there is. Raises ApiError."""
    found = arns.resource(arn)
    if found is None or not plane.database.row("SELECT 1 FROM resources WHERE arn = ?", (arn,)):
        raise validation(f"Could not find resource {arn}.")
    return arn


def add(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    arn = _known(plane, request["ResourceArn"])
    plane.resources.tag(arn, {tag["Key"]: tag["Value"] for tag in request["Tags"]})
    return _listed(plane, arn)


def listing(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    return _listed(plane, _known(plane, request["ResourceArn"]))


def delete(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    plane.resources.untag(_known(plane, request["ResourceArn"]), request["TagKeys"])
    return {}


def _listed(plane: Plane, arn: str) -> dict[str, Any]:
    return {"Tags": [{"Key": key, "Value": value} for key, value in plane.resources.tags(arn).items()]}


OPERATIONS = {"AddTags": add, "ListTags": listing, "DeleteTags": delete}
