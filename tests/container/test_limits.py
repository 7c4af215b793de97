"""SageMaker's limits on what `optml describe` prints: lengths, patterns and counts of the CreateAlgorithm
request, whose metric definitions are those of a training job as well.

The source of the table is the API's service model, 2017-07-24, as botocore carries it; where botocore is
installed the table is held against it.
"""

from __future__ import annotations

import importlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from optml.algorithms import registry
from optml.local.describe import create_algorithm, metric_definitions

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/optml/sample:cpu"
PRINTABLE = r"[\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}]*"  # classes of Unicode, which Python's expressions do not know

# Where (a list's items are []) -> fewest and most characters or items, and the pattern of a text.
TRAINING, INFERENCE = "TrainingSpecification", "InferenceSpecification"
PARAMETERS, CHANNELS = f"{TRAINING}.SupportedHyperParameters", f"{TRAINING}.TrainingChannels"
LIMITS: dict[str, tuple[int | None, int | None, str | None]] = {
    "AlgorithmName": (1, 63, "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"),
    "AlgorithmDescription": (0, 1024, PRINTABLE),
    f"{TRAINING}.TrainingImage": (0, 255, r"[\S]+"),
    PARAMETERS: (0, 100, None),
    f"{PARAMETERS}[].Name": (0, 256, PRINTABLE),
    f"{PARAMETERS}[].Description": (0, 1024, PRINTABLE),
    f"{PARAMETERS}[].DefaultValue": (0, 2500, ".*"),
    **{
        f"{PARAMETERS}[].Range.{kind}ParameterRangeSpecification.{end}Value": (0, 256, ".*")
        for kind in ("Integer", "Continuous")
        for end in ("Min", "Max")
    },
    f"{PARAMETERS}[].Range.CategoricalParameterRangeSpecification.Values": (1, 30, None),
    f"{PARAMETERS}[].Range.CategoricalParameterRangeSpecification.Values[]": (0, 256, ".*"),
    f"{TRAINING}.MetricDefinitions": (0, 40, None),
    f"{TRAINING}.MetricDefinitions[].Name": (1, 255, ".+"),
    f"{TRAINING}.MetricDefinitions[].Regex": (1, 500, ".+"),
    CHANNELS: (1, 8, None),
    f"{CHANNELS}[].Name": (1, 64, r"[A-Za-z0-9\.\-_]+"),
    f"{CHANNELS}[].Description": (0, 1024, PRINTABLE),
    f"{CHANNELS}[].SupportedContentTypes[]": (0, 256, ".*"),
    f"{CHANNELS}[].SupportedInputModes": (1, None, None),
    f"{TRAINING}.SupportedTuningJobObjectiveMetrics[].MetricName": (1, 255, ".+"),
    f"{INFERENCE}.Containers": (1, 15, None),
    f"{INFERENCE}.Containers[].Image": (0, 255, r"[\S]+"),
    f"{INFERENCE}.SupportedTransformInstanceTypes": (1, None, None),
    f"{INFERENCE}.SupportedContentTypes[]": (0, 256, ".*"),
    f"{INFERENCE}.SupportedResponseMIMETypes[]": (0, 1024, r"[-\w]+\/.+"),
}


def parts(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value within a request and where it stands."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from parts(member, f"{place}.{name}" if place else name)
        return
    yield place, value
    if isinstance(value, list):
        for item in value:
            yield from parts(item, f"{place}[]")


def matches(pattern: str, text: str) -> bool:
    if pattern == PRINTABLE:
        return all(unicodedata.category(character)[0] in "LMZSNP" for character in text)
    return re.fullmatch(pattern, text) is not None


@pytest.mark.parametrize("slug", registry.available())
def test_the_create_algorithm_request_keeps_every_limit(slug: str) -> None:
    for place, value in parts(create_algorithm(registry.get(slug), IMAGE)):
        fewest, most, pattern = LIMITS.get(place, (None, None, None))
        assert fewest is None or len(value) >= fewest, place
        assert most is None or len(value) <= most, f"{place} has {len(value)}, more than {most}"
        assert pattern is None or matches(pattern, value), f"{place}: {value!r}"


@pytest.mark.parametrize("slug", registry.available())
def test_every_objective_that_is_offered_is_defined(slug: str) -> None:
    training = create_algorithm(registry.get(slug), IMAGE)[TRAINING]
    defined = {metric["Name"] for metric in training["MetricDefinitions"]}
    assert {metric["MetricName"] for metric in training["SupportedTuningJobObjectiveMetrics"]} <= defined


def test_of_too_many_metrics_those_of_unseen_rows_that_can_be_tuned_come_first() -> None:
    algorithm = registry.get("linear-learner")
    assert len(algorithm.training.metrics) > 40
    names = [metric["Name"] for metric in metric_definitions(algorithm)]
    assert len(names) == len(set(names)) == 40
    tunable = {spec.name for spec in algorithm.training.metrics if spec.objective is not None}
    unseen = [name for name in tunable if name.startswith(("validation:", "test:"))]
    assert set(names[: len(unseen)]) == set(unseen)
    assert set(names) <= tunable


def test_the_limits_are_those_of_the_service_model() -> None:
    pytest.importorskip("botocore", reason="needs botocore, which carries the service model")
    # Imported by name: botocore is no dependency, so that type checkers don't find it.
    session = importlib.import_module("botocore.session").get_session()
    request = session.get_service_model("sagemaker").operation_model("CreateAlgorithm").input_shape
    for place, limits in LIMITS.items():
        shape = request
        for name in place.replace("[]", ".[]").split("."):
            shape = shape.member if name == "[]" else shape.members[name]
        facts = shape.metadata
        assert limits == (facts.get("min"), facts.get("max"), facts.get("pattern")), place
