"""What an algorithm publishes of itself: its schema, its metric definitions, its CreateAlgorithm request."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from string import Formatter
from typing import Any

from optml.algorithms.base import Algorithm, ChannelSpec
from optml.algorithms.metrics import MetricSpec
from optml.container.domain import Domain
from optml.container.hyperparameters import LOG_LEVELS, FieldSpec, fields

ENGINE = (
    FieldSpec(
        name="_tuning_objective_metric",
        domain=Domain(scalars=frozenset({str})),
        required=False,
        default="",
        tunable=None,
        meaning="Set by the tuning service: the metric of which the job needs the channel.",
    ),
    FieldSpec(
        name="_num_gpus",
        domain=Domain(scalars=frozenset({int}), words=("auto",), low=0),
        required=False,
        default="auto",
        tunable=None,
        meaning="GPUs to use; auto: all that there are; 0: the CPU.",
    ),
    FieldSpec(
        name="_log_level",
        domain=Domain(words=LOG_LEVELS),
        required=False,
        default="info",
        tunable=None,
        meaning="How much is logged.",
    ),
)

# What a line holds in the place of a field, where an example of it is shown.
EXAMPLE = {"host": "algo-1", "value": 0.5, "epoch": "0", "batch": "0", "token": "1.000"}

# The channel of an incremental job, of every algorithm that can go on from an earlier model.
MODEL = ChannelSpec(
    "model",
    "auxiliary",
    content_types=("application/x-sagemaker-model",),
    default_content_type="application/x-sagemaker-model",
    input_modes=("File",),
    distribution=("FullyReplicated",),
    meaning="The artifact of an earlier job, to go on from.",
)

UNSEEN = ("validation", "test")  # channels of rows that a model was not trained on
MOST_METRICS = 40  # that a training job or an algorithm resource may define
INT_LIMITS = (-(2**31), 2**31 - 1)  # where an integer's range is open: ranges of the API need both ends
FLOAT_LIMITS = (-1e30, 1e30)

CPU_INSTANCES = [
    f"ml.{family}.{size}"
    for family, sizes in (
        ("m5", ("large", "xlarge", "2xlarge", "4xlarge", "12xlarge", "24xlarge")),
        ("c5", ("xlarge", "2xlarge", "4xlarge", "9xlarge", "18xlarge")),
        ("m6i", ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "32xlarge")),
        ("c6i", ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "32xlarge")),
    )
    for size in sizes
]
GPU_INSTANCES = [
    f"ml.{family}.{size}"
    for family in ("g4dn", "g5", "g6")
    for size in ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
]


def describe(algorithm: Algorithm) -> dict[str, Any]:
    """The algorithm as JSON, in the shape of the specifications that it is held against."""
    return {
        "slug": algorithm.slug,
        "title": algorithm.title,
        "task": algorithm.task,
        "hyperparameters": [_field(spec) for spec in (*fields(algorithm.hyperparameters), *ENGINE)],
        "channels": [
            {
                "name": spec.name,
                "required": spec.required,
                "content_types": list(spec.content_types),
                "default_content_type": spec.default_content_type,
                "input_modes": list(spec.input_modes),
                "distribution": list(spec.distribution),
                "layout": spec.meaning,
            }
            for spec in _channels(algorithm)
        ],
        "inference": {
            "content_types": list(algorithm.inference.content_types),
            "accept": list(algorithm.inference.accepts),
            "default_accept": algorithm.inference.accepts[0],
        },
        "metrics": [
            {
                "name": spec.name,
                "objective": spec.objective,
                "when": spec.when,
                "log_line": _example(spec),
                "regex": regex(spec),
            }
            for spec in algorithm.training.metrics
        ],
        "compute": {
            "cpu": True,
            **asdict(algorithm.compute),
            "pipe_mode": any("Pipe" in spec.input_modes for spec in algorithm.training.channels),
            "checkpoint": True,
        },
    }


def metric_definitions(algorithm: Algorithm) -> list[dict[str, str]]:
    """The `MetricDefinitions` that a custom training image needs for tuning and charts."""
    return [{"Name": spec.name, "Regex": regex(spec)} for spec in _defined(algorithm)]


def regex(metric: MetricSpec) -> str:
    """The regular expression that reads the metric out of its log line; the first group is the value."""
    if metric.regex:
        return metric.regex
    parts = []
    for text, name, _, _ in Formatter().parse(metric.line):
        parts.append(re.sub(r"[.^$*+?{}\[\]\\|()]", r"\\\g<0>", text))
        if name is not None:
            parts.append(r"(\S+)" if name == "value" else r"\S+")
    return "".join(parts)


def create_algorithm(algorithm: Algorithm, image: str) -> dict[str, Any]:
    """The request of SageMaker's CreateAlgorithm call that makes the image an algorithm resource."""
    instances = [*CPU_INSTANCES, *(GPU_INSTANCES if algorithm.compute.gpu else [])]
    channels = [
        {
            "Name": spec.name,
            "Description": spec.meaning[:1024],
            "IsRequired": spec.required,
            "SupportedContentTypes": list(spec.content_types),
            "SupportedCompressionTypes": ["None"] if spec.role == "auxiliary" else ["None", "Gzip"],
            "SupportedInputModes": list(spec.input_modes),
        }
        for spec in _channels(algorithm)
    ]
    return {
        "AlgorithmName": f"optml-{algorithm.slug}",
        "AlgorithmDescription": f"{algorithm.title}: {algorithm.task}"[:1024],
        "TrainingSpecification": {
            "TrainingImage": image,
            "SupportedHyperParameters": [_hyperparameter(spec) for spec in fields(algorithm.hyperparameters)],
            "SupportedTrainingInstanceTypes": instances,
            "SupportsDistributedTraining": algorithm.compute.multi_machine,
            "MetricDefinitions": metric_definitions(algorithm),
            "TrainingChannels": channels,
            "SupportedTuningJobObjectiveMetrics": [
                {"Type": spec.objective, "MetricName": spec.name}
                for spec in _defined(algorithm)
                if spec.objective is not None
            ],
        },
        "InferenceSpecification": {
            "Containers": [{"Image": image}],
            "SupportedTransformInstanceTypes": instances,
            "SupportedRealtimeInferenceInstanceTypes": instances,
            "SupportedContentTypes": list(algorithm.inference.content_types),
            "SupportedResponseMIMETypes": list(algorithm.inference.accepts),
        },
    }


def _defined(algorithm: Algorithm) -> list[MetricSpec]:
    """As many metrics as the API takes: those that can be tuned first, and of these those of unseen rows."""

    def importance(spec: MetricSpec) -> tuple[bool, int]:
        channel = spec.name.partition(":")[0]
        return spec.objective is None, UNSEEN.index(channel) if channel in UNSEEN else len(UNSEEN)

    return sorted(algorithm.training.metrics, key=importance)[:MOST_METRICS]


def _channels(algorithm: Algorithm) -> list[ChannelSpec]:
    return [*algorithm.training.channels, *([MODEL] if algorithm.compute.incremental else [])]


def _field(spec: FieldSpec) -> dict[str, Any]:
    published = {
        "name": spec.name,
        "type": spec.type,
        "required": spec.required,
        "default": spec.default,
        "min": spec.min,
        "max": spec.max,
        "exclusive_min": spec.exclusive_min,
        "choices": spec.choices,
        "applies_when": spec.applies_when,
        "tunable": spec.tunable,
        "meaning": spec.meaning,
    }
    if spec.aliases:
        published["aliases"] = list(spec.aliases)
    return published | ({"deviation": spec.deviation} if spec.deviation else {})


def _example(metric: MetricSpec) -> str:
    names = [name for _, name, _, _ in Formatter().parse(metric.line) if name]
    return metric.line.format(**{name: EXAMPLE.get(name, "1") for name in names})


def _hyperparameter(spec: FieldSpec) -> dict[str, Any]:
    """An entry of SupportedHyperParameters.

    A type with a range is checked by the service before the job starts, and only such a one can be tuned.
    So a number that may also be `auto` is a number where it is tunable (left out, it is auto), else text.
    """
    scalars, words = spec.domain.scalars, spec.domain.words
    entry: dict[str, Any] = {"Name": spec.name, "Description": spec.meaning[:1024], "Type": "FreeText"}
    numeric = (
        scalars in (frozenset({int}), frozenset({float}))
        and spec.domain.items is None
        and (not words or spec.tunable is not None)
    )
    if numeric and float in scalars:
        entry |= _range(spec, "Continuous", FLOAT_LIMITS)
    elif numeric:
        entry |= _range(spec, "Integer", INT_LIMITS)
    elif spec.type in ("enum", "boolean"):
        values = list(map(str, words)) or ["true", "false", "True", "False"]
        entry |= {
            "Type": "Categorical",
            "Range": {"CategoricalParameterRangeSpecification": {"Values": values}},
        }
    entry |= {"IsTunable": spec.tunable is not None, "IsRequired": spec.required}
    default = (
        spec.default if spec.default is None or isinstance(spec.default, str) else json.dumps(spec.default)
    )
    if default and not (numeric and default in words):
        entry["DefaultValue"] = default
    return entry


def _range(spec: FieldSpec, kind: str, limits: tuple[float, float]) -> dict[str, Any]:
    low, high = (
        limit if end is None else end for end, limit in zip((spec.min, spec.max), limits, strict=True)
    )
    return {
        "Type": kind,
        "Range": {f"{kind}ParameterRangeSpecification": {"MinValue": str(low), "MaxValue": str(high)}},
    }
