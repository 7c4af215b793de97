"""Requests: what they mean, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from optml.errors import UserError
from optml.local.tuning import request
from optml.local.tuning.definition import Objective
from optml.local.tuning.ranges import Categorical, Continuous, Integer
from optml.local.tuning.tables import table
from tests.local.tuning.requests import IMAGE, categorical, continuous, integer, read, tuning, tuning_request

ETA = continuous("eta", 0.1, 0.5)


def refusal(**fields: Any) -> str:
    with pytest.raises(UserError) as error:
        tuning(**fields)
    return str(error.value)


def test_a_request_becomes_a_job() -> None:
    job = tuning(
        continuous=[continuous("eta", 0, 1, "Auto")],
        integer=[integer("depth", 1, 10, "Auto")],
        categorical=[categorical("kind", "fast", "good")],
        static={"note": "x", "epochs": "9"},
        strategy="Bayesian",
        definition={"RetryStrategy": {"MaximumRetryAttempts": 3}},
    )
    assert (job.strategy, job.max_jobs, job.parallel, job.seed) == ("Bayesian", 20, 2, 1)
    (definition,) = job.definitions
    assert definition.objective == Objective("validation:rmse")
    # As ranges are listed: integers, numbers, categories.
    assert definition.ranges == (
        Integer("depth", 1, 10),
        Continuous("eta", 0.0, 1.0),
        Categorical("kind", ("fast", "good")),
    )
    assert definition.hyperparameters({"eta": "0.5"}) == {
        "note": "x",
        "epochs": "9",
        "_tuning_objective_metric": "validation:rmse",
        "eta": "0.5",
    }
    assert (definition.slug, definition.retries, definition.epochs) == ("toy", 3, 9)
    assert definition.metrics["validation:rmse"] == r"validation-rmse:(\S+)"


def test_without_a_seed_the_name_tells_it() -> None:
    assert tuning(continuous=[ETA], seed=None).seed == tuning(continuous=[ETA], seed=None).seed != 0


@pytest.mark.parametrize(
    ("name", "low", "high", "kind", "scale"),
    [
        ("rate", "0.001", "0.1", "Continuous", "Logarithmic"),
        ("rate", "0.01", "0.9", "Continuous", "Linear"),
        ("rate", "0.1", "0.999", "Continuous", "ReverseLogarithmic"),
        ("eta", "0.001", "1", "Continuous", "Linear"),  # of the algorithm's own table
        ("depth", "1", "999", "Integer", "Linear"),
        ("depth", "1", "1000", "Integer", "Logarithmic"),
    ],
)
def test_auto_scaling(name: str, low: str, high: str, kind: str, scale: str) -> None:
    job = tuning(**{kind.lower(): [continuous(name, low, high, "Auto")]})
    (span,) = job.definitions[0].ranges
    assert not isinstance(span, Categorical)
    assert span.scale == scale
    assert bool(job.notices) == (scale != "Linear")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "There is no hyperparameter to tune"),
        ({"continuous": [ETA, ETA]}, "The hyperparameter [eta] has two ranges: remove one."),
        ({"continuous": [ETA], "static": {"eta": "1"}}, "[eta] is both static and tuned"),
        ({"continuous": [continuous("eta", 1, 0)]}, "[eta] has MinValue 1 above MaxValue 0"),
        ({"continuous": [continuous("eta", "x", 1)]}, "[eta] has MinValue 'x', which is not a number"),
        ({"integer": [integer("depth", 1, 2.5)]}, "[depth] has MaxValue '2.5', which is not an integer"),
        ({"continuous": [continuous("eta", 0, 2)]}, "[eta] does not take 2: it is a number >= 0 <= 1"),
        ({"continuous": [continuous("rate", 0, 2)]}, "[rate] does not take 0: it is a number > 0"),
        ({"continuous": [continuous("depth", 1, 9)]}, "[depth] takes integers: give it in Integer"),
        ({"integer": [integer("kind", 1, 9)]}, "[kind] cannot have a range of numbers: it is one of fast"),
        ({"categorical": [categorical("kind", "fast", "slow")]}, "does not take 'slow': it is one of fast"),
        ({"categorical": [categorical("kind", "fast", "fast")]}, "[kind] has a value twice"),
        ({"integer": [integer("dept", 1, 9)]}, "is none of [" + IMAGE + "]; did you mean 'depth'?"),
        (
            {"continuous": [continuous("eta", 0, 1, "Logarithmic")]},
            "ScalingType Logarithmic, which takes values above 0, and MinValue 0",
        ),
        (
            {"continuous": [continuous("eta", 0, 1, "ReverseLogarithmic")]},
            "ReverseLogarithmic, which takes 0 <= x < 1, and the range 0 to 1",
        ),
        (
            {"integer": [integer("depth", 0, 9, "ReverseLogarithmic")]},
            "[depth] has ScalingType ReverseLogarithmic, which is for continuous ranges only",
        ),
        (
            {"continuous": [ETA], "metric": "validation:f1"},
            "The objective metric for the hyperparameter tuning job, [validation:f1], isn't valid for the "
            f"[{IMAGE}] algorithm. Choose a valid objective metric: validation:rmse, validation:auc.",
        ),
        ({"continuous": [ETA], "metric": "train:progress"}, "isn't valid for the"),
        ({"continuous": [ETA], "direction": "Maximize"}, "The objective type for the hyperparameter tuning"),
        (
            {"continuous": [ETA], "image": "mine:1"},
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the "
            "metric definitions.",
        ),
        ({"continuous": [ETA], "jobs": None}, "The tuning job would not end: give"),
        ({"continuous": [ETA], "jobs": 751, "strategy": "Bayesian"}, "MaxNumberOfTrainingJobs is 751; the"),
        ({"continuous": [ETA], "parallel": 101}, "MaxParallelTrainingJobs is 101; the limit is 100."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(fields: dict[str, Any], message: str) -> None:
    assert message in refusal(**fields)


def test_all_that_is_wrong_is_said_at_once() -> None:
    text = refusal(continuous=[continuous("eta", 0, 2), continuous("rate", 5, 1)], metric="nonsense")
    assert len(text.splitlines()) == 3


def test_limits_can_be_lifted() -> None:
    asked = tuning_request(continuous=[ETA], jobs=9000, parallel=200, strategy="Bayesian")
    assert read(asked, limits=False).max_jobs == 9000


def test_a_range_of_one_value_is_static() -> None:
    job = tuning(continuous=[ETA, continuous("rate", 1, 1)], categorical=[categorical("kind", "good")])
    (definition,) = job.definitions
    assert [span.name for span in definition.ranges] == ["eta"]
    assert (definition.static["rate"], definition.static["kind"]) == ("1.0", "good")


def test_tuning_what_aws_does_not_is_told_and_done() -> None:
    job = tuning(integer=[integer("epochs", 1, 10)])
    assert job.notices == ("AWS does not tune epochs of toy; here it is tuned",)


def test_an_image_of_somebody_else_brings_its_metrics_and_any_names() -> None:
    metrics = {"MetricDefinitions": [{"Name": "loss", "Regex": "Loss = (.*?);"}]}
    algorithm = {"TrainingImage": "mine:1", "TrainingInputMode": "File", **metrics}
    job = tuning(
        continuous=[continuous("anything", 0, 1)],
        metric="loss",
        definition={"AlgorithmSpecification": algorithm},
    )
    assert job.definitions[0].metrics == {"loss": "Loss = (.*?);"}
    assert job.definitions[0].slug is None


def several(**fields: Any) -> dict[str, Any]:
    """A request of two algorithms."""
    asked = tuning_request(**fields)
    config = asked["HyperParameterTuningJobConfig"]
    objective, ranges = config.pop("HyperParameterTuningJobObjective"), config.pop("ParameterRanges")
    one = asked.pop("TrainingJobDefinition") | {"TuningObjective": objective, "HyperParameterRanges": ranges}
    asked["TrainingJobDefinitions"] = [{**one, "DefinitionName": name} for name in ("a", "b")]
    return asked


def test_several_algorithms_have_ranges_and_objectives_of_their_own() -> None:
    job = read(several(continuous=[ETA]))
    assert [definition.name for definition in job.definitions] == ["a", "b"]
    for key, value, message in (
        ("DefinitionName", "a", "must differ"),
        ("TuningObjective", {"Type": "Maximize", "MetricName": "validation:auc"}, "must all have one Type"),
        ("TuningObjective", None, "Provide the objective"),
    ):
        asked = several(continuous=[ETA])
        asked["TrainingJobDefinitions"][1][key] = value
        with pytest.raises(UserError, match=message):
            read(asked)
    with pytest.raises(UserError, match="Early stopping does not go with several algorithms"):
        read(several(continuous=[ETA], TrainingJobEarlyStoppingType="Auto"))


def test_autotune_takes_the_ranges_of_the_algorithms_table_and_a_hundred_jobs() -> None:
    job = tuning(jobs=None, static={"depth": "3"}, top={"Autotune": {"Mode": "Enabled"}})
    assert [span.name for span in job.definitions[0].ranges] == ["eta", "rate", "kind"]
    assert job.max_jobs == 100
    assert job.convergence


def test_autotune_takes_hints_where_there_is_no_table() -> None:
    hints = [
        {"Name": "units", "ValueHint": "64"},
        {"Name": "lr", "ValueHint": "0.01"},
        {"Name": "bias", "ValueHint": "true"},
    ]
    options: dict[str, Any] = {
        "metric": "loss",
        "top": {"Autotune": {"Mode": "Enabled"}},
        "definition": {
            "AlgorithmSpecification": {
                "TrainingImage": "mine:1",
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "loss", "Regex": "(.*)"}],
            }
        },
    }
    job = tuning(ParameterRanges={"AutoParameters": hints}, **options)
    assert job.definitions[0].ranges == (
        Integer("units", 6, 640, "Logarithmic"),
        Continuous("lr", 0.001, 0.1, "Logarithmic"),
        Categorical("bias", ("true", "false")),
    )
    bad = [{"Name": "colour", "ValueHint": "blue"}]
    assert "no range for the hyperparameter [colour]" in refusal(
        ParameterRanges={"AutoParameters": bad}, **options
    )


def test_the_guides_example_of_xgboost_is_taken_as_it_stands() -> None:
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
    asked = tuning_request(
        continuous=[
            continuous("eta", 0, 1, "Auto"),
            continuous("min_child_weight", 1, 10, "Auto"),
            continuous("alpha", 0, 2, "Auto"),
        ],
        integer=[integer("max_depth", 1, 10, "Auto")],
        static={
            "eval_metric": "auc",
            "num_round": "100",
            "objective": "binary:logistic",
            "rate_drop": "0.3",
            "tweedie_variance_power": "1.4",
        },
        metric="validation:auc",
        direction="Maximize",
        strategy="Bayesian",
        parallel=3,
        seed=123,
        image=image,
    )
    job = request.read(asked, {image: table("xgboost")}.get)
    (definition,) = job.definitions
    assert (definition.slug, definition.epochs, len(definition.ranges)) == ("xgboost", 100, 4)
    assert job.notices == ()
    assert definition.static["_tuning_objective_metric"] == "validation:auc"
