"""ECR: as far as the SDK asks before it runs a container."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

from optml.algorithms import registry
from optml.local.control.arns import ACCOUNT
from optml.local.control.errors import ApiError

if TYPE_CHECKING:
    from optml.local.control.plane import Plane

_DAY = 86_400.0  # seconds


def get_authorization_token(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    token = base64.b64encode(b"AWS:optml").decode()
    data = {"authorizationToken": token, "expiresAt": time.time() + _DAY / 2, "proxyEndpoint": plane.url}
    return {"authorizationData": [data]}


def describe_repositories(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    names = request.get("repositoryNames") or registry.available()
    for name in names:
        if name not in registry.MODULES:
            raise ApiError(
                "RepositoryNotFoundException",
                f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'",
            )
    repositories = [
        {
            "repositoryArn": f"arn:aws:ecr:{region}:{ACCOUNT}:repository/{name}",
            "registryId": ACCOUNT,
            "repositoryName": name,
            "repositoryUri": f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com/{name}",
            "createdAt": plane.started,
        }
        for name in names
    ]
    return {"repositories": repositories}


OPERATIONS = {
    "GetAuthorizationToken": get_authorization_token,
    "DescribeRepositories": describe_repositories,
}
