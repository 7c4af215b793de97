"""STS: who the caller is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from optml.local.control.arns import ACCOUNT

if TYPE_CHECKING:
    from optml.local.control.plane import Plane

ROLE = "optml"


def get_caller_identity(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/optml"  # the SDK reads its role out of it
    return {"UserId": "AROAOPTML:optml", "Account": ACCOUNT, "Arn": session}


def assume_role(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    credentials = {
        "AccessKeyId": "test",
        "SecretAccessKey": "test",
        "SessionToken": "test",
        "Expiration": time.time() + 3600,
    }
    name = request["RoleArn"].rpartition("/")[2]
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{request['RoleSessionName']}"
    return {"Credentials": credentials, "AssumedRoleUser": {"AssumedRoleId": "AROAOPTML:optml", "Arn": arn}}


OPERATIONS = {"GetCallerIdentity": get_caller_identity, "AssumeRole": assume_role}
