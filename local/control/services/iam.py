"""IAM: every role is there and may do everything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from optml.local.control.arns import ACCOUNT

if TYPE_CHECKING:
    from optml.local.control.plane import Plane

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def get_role(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    name = request["RoleName"]
    role = {
        "Path": "/",
        "RoleName": name,
        "RoleId": "AROAOPTML",
        "Arn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
        "CreateDate": plane.started,
        "AssumeRolePolicyDocument": quote(json.dumps(_TRUST)),
    }
    return {"Role": role}


def simulate_principal_policy(plane: Plane, request: dict[str, Any], region: str) -> dict[str, Any]:
    results = [
        {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": "allowed"}
        for action in request["ActionNames"]
    ]
    return {"EvaluationResults": results, "IsTruncated": False}


OPERATIONS = {"GetRole": get_role, "SimulatePrincipalPolicy": simulate_principal_policy}
