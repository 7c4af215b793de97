"""Which service and which operation a request is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs

from starlette.requests import Request

_SCOPE = re.compile(r"Credential=[^/,]+/\d{8}/([^/,]*)/([^/,]+)/aws4_request")

# X-Amz-Target before the operation -> the service's name in botocore.
TARGETS = {
    "SageMaker": "sagemaker",
    "Logs_20140328": "logs",
    "GraniteServiceVersion20100801": "cloudwatch",
    "AnyScaleFrontendService": "application-autoscaling",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
}
_QUERY = {"sts": "sts", "iam": "iam", "monitoring": "cloudwatch"}  # by the scope of the signature
_CBOR = re.compile(r"/service/([^/]+)/operation/([^/]+)/?")

Protocol = Literal["json", "cbor", "query", "runtime", "s3", "console"]
REGION = "us-east-1"  # of requests that name none


@dataclass(frozen=True, slots=True)
class Route:
    """operation: "" where the body or the path says it."""

    protocol: Protocol
    service: str
    operation: str = ""
    region: str = REGION


def route(request: Request) -> Route:
    region, service = scope(request)
    target = request.headers.get("x-amz-target")
    path: str = request.scope["path"]
    if target is not None:
        prefix, _, operation = target.rpartition(".")
        return Route("json", TARGETS.get(prefix, prefix), operation, region)
    if service == "s3":
        return Route("s3", "s3", region=region)
    if match := _CBOR.fullmatch(path):
        return Route("cbor", TARGETS.get(match[1], match[1]), match[2], region)
    if service in _QUERY:
        return Route("query", _QUERY[service], region=region)
    if path.startswith("/endpoints/"):
        return Route("runtime", "sagemaker-runtime", region=region)
    if not service and (path == "/" or path == "/console" or path.startswith("/console/")):
        return Route("console", "console", region=region)
    return Route("s3", "s3", region=region)


def invoked(headers: Mapping[bytes, bytes]) -> bool:
    """Is a request below /endpoints/ an invocation, and none of S3's for a bucket of that name?"""
    return b"x-amz-target" not in headers and b"/s3/aws4_request" not in headers.get(b"authorization", b"")


def scope(request: Request) -> tuple[str, str]:
    """(region, service) that the signature names; "" for the service where there is none."""
    text = request.headers.get("authorization", "")
    if not text:
        query = parse_qs(request.scope["query_string"].decode("latin-1"))
        if "AWSAccessKeyId" in query:  # signed in version 2, as addresses of S3 still are
            return REGION, "s3"
        text = "Credential=" + query.get("X-Amz-Credential", [""])[0]
    match = _SCOPE.search(text)
    return (match[1] or REGION, match[2]) if match else (REGION, "")
