"""Tuning requests for tests."""

from __future__ import annotations

from typing import Any

from optml.local.tuning import request
from optml.local.tuning.definition import Tuning
from optml.local.tuning.tables import Field, Metric, Table

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/toy:1"

# An algorithm with one hyperparameter of each kind.
TOY = Table(
    "toy",
    {
        "eta": Field("Continuous", 0.0, 1.0, tunable=True, span=(0.1, 0.5), scale="Linear"),
        "rate": Field("Continuous", 0.0, None, low_open=True, tunable=True, span=(1e-5, 1.0)),
        "depth": Field("Integer", 0, None, tunable=True, span=(1, 10)),
        "kind": Field("Categorical", values=("fast", "good"), tunable=True, choices=("fast", "good")),
        "epochs": Field("Integer", 1, None),
        "note": Field("FreeText"),
    },
    {
        "validation:rmse": Metric(r"validation-rmse:(\S+)", "Minimize"),
        "validation:auc": Metric(r"validation-auc:(\S+)", "Maximize"),
        "train:progress": Metric(r"completed (\S+) %", None),
    },
)


def continuous(name: str, low: object, high: object, scale: str | None = None) -> dict[str, str]:
    entry = {"Name": name, "MinValue": str(low), "MaxValue": str(high)}
    return entry | ({"ScalingType": scale} if scale else {})


integer = continuous


def categorical(name: str, *values: str) -> dict[str, Any]:
    return {"Name": name, "Values": list(values)}


def tuning_request(
    *,
    continuous: list[dict[str, str]] | None = None,
    integer: list[dict[str, str]] | None = None,
    categorical: list[dict[str, Any]] | None = None,
    static: dict[str, str] | None = None,
    metric: str = "validation:rmse",
    direction: str = "Minimize",
    strategy: str = "Random",
    jobs: int | None = 20,
    parallel: int = 2,
    seed: int | None = 1,
    image: str = IMAGE,
    definition: dict[str, Any] | None = None,
    top: dict[str, Any] | None = None,
    **config: Any,
) -> dict[str, Any]:
    """A CreateHyperParameterTuningJob request. config: further members of HyperParameterTuningJobConfig."""
    limits: dict[str, int] = {"MaxParallelTrainingJobs": parallel}
    if jobs is not None:
        limits["MaxNumberOfTrainingJobs"] = jobs
    return {
        "HyperParameterTuningJobName": "toy-1",
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": direction, "MetricName": metric},
            "ResourceLimits": limits,
            "ParameterRanges": {
                "ContinuousParameterRanges": continuous or [],
                "IntegerParameterRanges": integer or [],
                "CategoricalParameterRanges": categorical or [],
            },
            **({} if seed is None else {"RandomSeed": seed}),
            **config,
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "StaticHyperParameters": static or {},
            **(definition or {}),
        },
        **(top or {}),
    }


def read(asked: dict[str, Any], **options: Any) -> Tuning:
    return request.read(asked, {IMAGE: TOY}.get, **options)


def tuning(**fields: Any) -> Tuning:
    return read(tuning_request(**fields))
