"""Requests and answers."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.forecasting_deepar.model import Model
from optml.errors import PlatformError, UserError
from tests.algorithms.forecasting_deepar.networks import JSON, LINES, ask, decode, instance, model
from tests.algorithms.forecasting_deepar.sample import START


@pytest.fixture(scope="module")
def made() -> Model:
    return model()


def test_without_configuration_the_answer_is_the_mean(made: Model) -> None:
    answer = ask(made, instance(), instance(5))
    assert [list(one) for one in answer["predictions"]] == [["mean"], ["mean"]]
    assert len(answer["predictions"][0]["mean"]) == 4
    assert all(round(value, 10) == value for value in answer["predictions"][0]["mean"])


def test_what_is_asked_for_is_answered_under_the_names_of_the_request(made: Model) -> None:
    answer = ask(
        made,
        instance(),
        num_samples=50,
        output_types=["mean", "quantiles", "samples"],
        quantiles=["0.5", "0.90", 0.1],
    )
    (one,) = answer["predictions"]
    assert set(one) == {"mean", "quantiles", "samples"}
    assert list(one["quantiles"]) == ["0.5", "0.90", "0.1"]
    paths = np.array(one["samples"])
    assert paths.shape == (50, 4)
    np.testing.assert_allclose(one["mean"], paths.mean(axis=0), rtol=1e-6)
    for text, values in one["quantiles"].items():
        np.testing.assert_allclose(values, np.quantile(paths, float(text), axis=0), rtol=1e-5)


def test_json_lines_take_their_configuration_from_the_environment(
    made: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ask(made, instance(), instance(3), media=LINES, batch=True).split(b"\n")
    assert len(lines) == 2
    first = json.loads(lines[0])
    assert list(first["quantiles"]) == [f"0.{digit}" for digit in range(1, 10)]
    assert set(first) == {"quantiles", "mean"}
    monkeypatch.setenv("DEEPAR_INFERENCE_CONFIG", '{"num_samples": 7, "output_types": ["samples"]}')
    (line,) = ask(made, instance(), media=LINES).splitlines()
    assert np.array(json.loads(line)["samples"]).shape == (7, 4)
    monkeypatch.setenv("DEEPAR_INFERENCE_CONFIG", '{"quantiles": [2]}')
    with pytest.raises(PlatformError, match='DEEPAR_INFERENCE_CONFIG: "quantiles" holds 2'):
        ask(made, instance(), media=LINES)


def test_one_series_without_instances_is_answered_like_one_line(made: Model) -> None:
    request = decode(json.dumps(instance()).encode(), JSON, made)
    assert request.types == ("mean", "quantiles")
    assert ask(made) == {"predictions": []}


def test_forecasts_are_the_same_each_time_and_wherever_a_series_stands(made: Model) -> None:
    one, other = instance(), instance(9, cat=[0, 0])
    first = ask(made, one, other)["predictions"]
    assert first == ask(made, one, other)["predictions"]
    turned = ask(made, other, one)["predictions"]
    np.testing.assert_allclose(turned[1]["mean"], first[0]["mean"], rtol=1e-5)
    assert first[0] != first[1]


@pytest.mark.parametrize("target", [[], [None], ["NaN", None, "NaN"], [0, 0], [5] * 2000])
def test_any_length_is_forecast_also_nothing_at_all(made: Model, target: list[Any]) -> None:
    features = [[0.5] * (len(target) + 4)]
    answer = ask(made, instance(target=target, dynamic_feat=features))
    assert np.isfinite(answer["predictions"][0]["mean"]).all()


def test_missing_values_are_imputed_not_taken_for_zeros(made: Model) -> None:
    whole, gaps = instance(), instance()
    gaps["target"][10] = "NaN"
    zeros = instance()
    zeros["target"][10] = 0
    answers = [one["mean"] for one in ask(made, whole, gaps, zeros)["predictions"]]
    assert answers[0] != answers[1] != answers[2]


def test_point_forecasts_are_the_same_in_every_form() -> None:
    made = model(likelihood="deterministic-L1")
    (one,) = ask(made, instance(), output_types=["mean", "quantiles", "samples"], num_samples=3)[
        "predictions"
    ]
    for values in (*one["quantiles"].values(), *one["samples"]):
        np.testing.assert_allclose(values, one["mean"], rtol=1e-6)


BAD = [
    ({"cat": None}, r'instances\[1\]: "cat" is missing: expected a list of 2 whole numbers'),
    ({"cat": [0]}, '"cat" must be a list of 2 whole numbers'),
    ({"cat": [0, 3]}, r'"cat"\[1\] is 3, but its cardinality is 3: values are 0 to 2'),
    (
        {"dynamic_feat": [[1.0] * 20]},
        r"expected len\(target\)\+prediction_length = 20\+4 = 24, got 20",
    ),
    ({"dynamic_feat": [[1.0] * 23 + ["NaN"]]}, r"\[23\] is missing: features need a value at every step"),
    ({"dynamic_feat": None}, '"dynamic_feat" is missing'),
    ({"start": None}, '"start" is missing'),
    ({"start": "yesterday"}, '"start" is "yesterday": expected YYYY-MM-DD'),
    ({"target": "1,2"}, '"target" must be a list'),
    ({"targets": [1]} | {"target": None}, '"target" must be a list'),
]  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), BAD)
def test_what_is_wrong_with_an_instance_is_told_with_its_place(
    made: Model, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        ask(made, instance(), instance(**change))


def test_what_a_model_was_not_trained_with_is_refused_and_nothing_of_it_is_let_pass() -> None:
    plain = model((), 0)
    request = {"start": START, "target": [1.0, 2.0]}
    expected = ask(plain, request)
    assert ask(plain, request | {"cat": [], "dynamic_feat": None, "item_id": 7}) == expected
    for field, value in (("cat", [1]), ("dynamic_feat", [[1.0] * 6]), ("cat", 0)):
        wrong = rf'instances\[0\]: "{field}" is .*, but the model was trained without: leave it out'
        with pytest.raises(UserError, match=wrong):
            ask(plain, request | {field: value})
    with pytest.raises(UserError, match='"cats" is unknown; did you mean "cat"'):
        ask(plain, request | {"cats": [1]})


def test_a_category_may_be_written_with_a_point(made: Model) -> None:
    assert ask(made, instance(cat=[1.0, 2.0])) == ask(made, instance())


@pytest.mark.parametrize(
    ("configuration", "problem"),
    [
        ({"output_types": ["median"]}, '"output_types" holds "median"; known are mean, quantiles, samples'),
        ({"output_types": []}, '"output_types" is'),
        ({"quantiles": ["1.0"]}, '"quantiles" holds "1.0"; expected numbers between 0 and 1'),
        ({"quantiles": ["x"]}, '"quantiles" holds "x"'),
        ({"num_samples": 0}, '"num_samples" is 0'),
        ({"num_samples": 10**9}, "ask for fewer samples"),
        (
            {"num_sample": 5},
            "the configuration has an unknown key \"num_sample\"; did you mean 'num_samples'",
        ),
        ({"seed": 5}, 'unknown key "seed"; known are: num_samples, output_types, quantiles'),
    ],
)
def test_what_is_wrong_with_a_configuration_is_told(
    made: Model, configuration: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        ask(made, instance(), **configuration)


@pytest.mark.parametrize(
    ("body", "media", "problem"),
    [
        (b"{", JSON, "the request is not valid JSON"),
        (b"[]", JSON, 'an object with a list "instances"'),
        (b'{"instances": 1}', JSON, '"instances" must be a list'),
        (b'{"instances": [], "configuration": 1}', JSON, '"configuration" must be an object'),
        (b'{"instances": [], "config": {}}', JSON, "an unknown key \"config\"; did you mean 'configuration'"),
        (b'{"instance": []}', JSON, "the request has an unknown key \"instance\"; did you mean 'instances'"),
        (b'[\n{"target": [1]}\n]', LINES, "line 1 is .*; one object a line is expected"),
        (b'{"target": [1]}\nx', LINES, "line 1"),
        (b"\n\nx", LINES, "line 3 is not valid JSON"),
    ],
)
def test_bodies_of_another_kind_are_refused(made: Model, body: bytes, media: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        decode(body, media, made)


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([JSON, LINES]))
def test_any_body_is_read_or_refused(body: bytes, media: str) -> None:
    with contextlib.suppress(UserError):
        decode(body, media, model())
