from __future__ import annotations

import importlib
import json
import re
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from optml.algorithms import registry
from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Compute, Hyperparameters, Inference, Training
from optml.algorithms.metrics import MetricSpec
from optml.local.describe import create_algorithm, describe, metric_definitions, regex
from tests.shared import SHARED, needs_shared

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/optml/sample:cpu"


class Sample(Hyperparameters):
    k: int = Field(ge=1, description="Clusters.", json_schema_extra={"tunable": {"min": 2, "max": 20}})
    rate: float = Field(0.5, gt=0, le=1, json_schema_extra={"deviation": "AWS allows 0"})
    factor: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", json_schema_extra={"tunable": {"min": 4, "max": 10}}
    )
    trials: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    method: Literal["random", "kmeans++"] = "random"
    metrics: tuple[Literal["msd", "ssd"], ...] = ("msd",)
    dense: bool = True
    prefix: str = ""


def unused(*_: object) -> Any:
    raise AssertionError


ALGORITHM = Algorithm(
    slug="sample",
    title="Sample",
    task="something",
    hyperparameters=Sample,
    training=Training(
        channels=(ChannelSpec("train", "train", required=True), ChannelSpec("test", "test")),
        metrics=(
            MetricSpec(
                "test:msd", "#quality_metric: host={host}, test msd <loss>={value}", "Minimize", "with test"
            ),
            MetricSpec("train:speed", "#speed (a.b): {value} [{epoch}] rows/second"),
        ),
        learner=unused,
    ),
    inference=Inference(
        content_types=("text/csv",),
        accepts=("application/json", "application/json; verbose=true"),
        response=Response(),
        load=unused,
        recognises=unused,
    ),
    compute=Compute(gpu=False),
)


def algorithms() -> list[Algorithm]:
    return [ALGORITHM, *(registry.get(slug) for slug in registry.available())]


def test_a_regex_reads_the_value_out_of_its_own_line() -> None:
    first, second = ALGORITHM.training.metrics
    assert regex(first) == r"#quality_metric: host=\S+, test msd <loss>=(\S+)"
    assert regex(second) == r"#speed \(a\.b\): (\S+) \[\S+\] rows/second"
    line = "[11/22/2026 15:00:00 INFO 140021904598848] " + second.line.format(value=repr(1234.5), epoch=3)
    match = re.search(regex(second), line)
    assert match
    assert float(match[1]) == 1234.5


@pytest.mark.parametrize("algorithm", algorithms(), ids=lambda algorithm: algorithm.slug)
def test_every_published_log_line_matches_its_regex(algorithm: Algorithm) -> None:
    for metric in describe(algorithm)["metrics"]:
        match = re.search(metric["regex"], metric["log_line"])
        assert match
        assert float(match[1]) == 0.5


def test_hyperparameters_are_described_with_the_engine_knobs_after_them() -> None:
    described = describe(ALGORITHM)
    json.dumps(described)
    by_name = {item["name"]: item for item in described["hyperparameters"]}
    assert [*by_name][-3:] == ["_tuning_objective_metric", "_num_gpus", "_log_level"]
    assert by_name["k"] == {
        "name": "k",
        "type": "integer",
        "required": True,
        "default": None,
        "min": 1,
        "max": None,
        "exclusive_min": False,
        "choices": None,
        "applies_when": None,
        "tunable": {"min": 2, "max": 20},
        "meaning": "Clusters.",
    }
    assert by_name["rate"]["deviation"] == "AWS allows 0"
    assert by_name["_num_gpus"]["type"] == "integer|auto"


def test_channels_and_compute_are_described() -> None:
    described = describe(ALGORITHM)
    assert described["channels"][0]["required"] is True
    assert described["channels"][1]["input_modes"] == ["File", "FastFile", "Pipe"]
    assert described["compute"]["gpu"] is False
    assert described["compute"]["pipe_mode"] is True
    assert described["inference"]["default_accept"] == "application/json"


def test_the_create_algorithm_request_types_what_the_service_can_check() -> None:
    training = create_algorithm(ALGORITHM, IMAGE)["TrainingSpecification"]
    by_name = {item["Name"]: item for item in training["SupportedHyperParameters"]}
    assert {name: item["Type"] for name, item in by_name.items()} == {
        "k": "Integer",
        "rate": "Continuous",
        "factor": "Integer",
        "trials": "FreeText",
        "method": "Categorical",
        "metrics": "FreeText",
        "dense": "Categorical",
        "prefix": "FreeText",
    }
    assert {name: item["DefaultValue"] for name, item in by_name.items() if "DefaultValue" in item} == {
        "rate": "0.5",
        "trials": "auto",
        "method": "random",
        "metrics": '["msd"]',
        "dense": "true",
    }
    bounds = by_name["k"]["Range"]["IntegerParameterRangeSpecification"]
    assert bounds == {"MinValue": "1", "MaxValue": str(2**31 - 1)}
    assert [name for name, item in by_name.items() if item["IsTunable"]] == ["k", "factor"]
    assert [channel["Name"] for channel in training["TrainingChannels"]] == ["train", "test", "model"]
    assert training["SupportedTuningJobObjectiveMetrics"] == [{"Type": "Minimize", "MetricName": "test:msd"}]


@pytest.mark.parametrize("algorithm", algorithms(), ids=lambda algorithm: algorithm.slug)
def test_the_create_algorithm_request_satisfies_the_service_model(algorithm: Algorithm) -> None:
    pytest.importorskip("botocore", reason="needs botocore, which carries the service model")
    # Imported by name: botocore is no dependency, so that type checkers don't find it.
    session = importlib.import_module("botocore.session").get_session()
    validate = importlib.import_module("botocore.validate").ParamValidator().validate
    shape = session.get_service_model("sagemaker").operation_model("CreateAlgorithm").input_shape
    request = create_algorithm(algorithm, IMAGE)
    report = validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    for kind in ("TrainingSpecification.SupportedTrainingInstanceTypes",):
        outer, inner = kind.split(".")
        enum = shape.members[outer].members[inner].member.enum
        assert set(request[outer][inner]) <= set(enum)
    for inner in ("SupportedTransformInstanceTypes", "SupportedRealtimeInferenceInstanceTypes"):
        enum = shape.members["InferenceSpecification"].members[inner].member.enum
        assert set(request["InferenceSpecification"][inner]) <= set(enum)


@needs_shared("spec/kmeans.json")
def test_the_metrics_of_kmeans_are_read_as_its_specification_reads_them() -> None:
    spec = {item["name"]: item for item in json.loads((SHARED / "spec/kmeans.json").read_text())["metrics"]}
    ours = {item["Name"]: item["Regex"] for item in metric_definitions(registry.get("kmeans"))}
    for name, item in spec.items():
        found = re.search(ours[name], item["log_line"])
        wanted = re.search(item["regex"], item["log_line"])
        assert found
        assert wanted
        assert found[1] == wanted[1]
        # The specification cuts the progress line off after the first %.
        assert ours[name] == item["regex"] or name == "train:progress"
