"""Names of resources, of the one account that there is."""

from __future__ import annotations

import re

ACCOUNT = "123456789012"

# What stands before the name in an ARN, by the kind of the resource.
TYPES = {
    "TrainingJob": "training-job",
    "TransformJob": "transform-job",
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "Model": "model",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "ScalableTarget": "scalable-target",
    "ScalingPolicy": "scaling-policy",
}

_ARN = re.compile(r"arn:[^:]+:sagemaker:[^:]*:\d*:([a-z-]+)/(.+)")


def arn(kind: str, name: str, region: str) -> str:
    """The service writes names in lower case there."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{TYPES[kind]}/{name.lower()}"


def resource(text: str) -> tuple[str, str] | None:
    """(kind, name in lower case) of an ARN; None for one of nothing that we keep."""
    match = _ARN.fullmatch(text)
    kinds = {value: key for key, value in TYPES.items()}
    return (kinds[match[1]], match[2]) if match and match[1] in kinds else None
