"""A trained model: requests, answers, its artifact, AWS's artifact, and pictures."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.answers import Answer
from optml.algorithms.forecasting_deepar import aws, requests
from optml.algorithms.forecasting_deepar.facts import OUTPUTS, Facts
from optml.algorithms.forecasting_deepar.levels import Levels
from optml.algorithms.forecasting_deepar.model import Model, load
from optml.algorithms.forecasting_deepar.requests import encode
from optml.errors import PlatformError, UserError
from optml.formats.content_type import ContentType
from tests.algorithms.forecasting_deepar import aws_graph
from tests.algorithms.forecasting_deepar.sample import START, parameters

JSON, LINES = "application/json", "application/jsonlines"


def decode(body: bytes, media: str, model: Any) -> Any:
    return requests.decode(body, ContentType(media), model)


def model(cardinality: tuple[int, ...] = (2, 3), dynamics: int = 1, **given: Any) -> Model:
    settings = parameters(embedding_dimension=3, **given)
    generator = np.random.default_rng(5)
    cells, frequency = settings.num_cells, settings.frequency
    width = len(frequency.names) + 1 + dynamics + 3 * len(cardinality) + 1 + len(frequency.lags)
    shapes: dict[str, tuple[int, ...]] = {
        f"embed_{number}_weight": (size, 3) for number, size in enumerate(cardinality)
    }
    for layer in range(settings.num_layers):
        for kind, size in (("i2h", cells if layer else width), ("h2h", cells)):
            shapes[f"lstm_l_{layer}{kind}_weight"] = (4 * cells, size)
            shapes[f"lstm_l_{layer}{kind}_bias"] = (4 * cells,)
    for name in OUTPUTS[settings.likelihood]:
        shapes |= {f"{name}_Noneproj_weight": (1, cells), f"{name}_Noneproj_bias": (1,)}
    arrays = {
        name: (0.3 * generator.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()
    }
    return Model(settings, Facts(cardinality, dynamics, 3.0), arrays)


def instance(length: int = 20, **other: Any) -> dict[str, Any]:
    features = [[0.1 * step for step in range(length + 4)]]
    return {
        "start": START, "target": [1.0 + step % 5 for step in range(length)], "cat": [1, 2],
        "dynamic_feat": features,
    } | other  # fmt: skip


def ask(of: Model, *instances: Any, media: str = JSON, batch: bool = False, **configuration: Any) -> Any:
    if media == JSON:
        document: dict[str, Any] = {"instances": list(instances)}
        body = json.dumps(document | ({"configuration": configuration} if configuration else {})).encode()
    else:
        body = b"\n".join(json.dumps(one).encode() for one in instances)
    request = decode(body, media, of)
    answer = bytes(encode(of.predict(request, {}), media, Answer(batch=batch)))
    return json.loads(answer) if media == JSON else answer


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


def test_a_saved_model_forecasts_the_same(made: Model, tmp_path: Path) -> None:
    made.save(tmp_path)
    loaded = load(tmp_path, "cpu")
    assert ask(loaded, instance()) == ask(made, instance())
    facts = json.loads((tmp_path / "model.json").read_text())["facts"]
    assert facts["cardinality"] == [2, 3]
    assert facts["calendar"] == ["hour_of_day", "day_of_week", "day_of_month", "day_of_year"]
    assert facts["lags"][:8] == [1, 2, 3, 4, 5, 6, 7, 23]


def test_levels_are_saved_with_a_model_and_checked(made: Model, tmp_path: Path) -> None:
    cats = np.array([[0, 0], [1, 2]])
    values = np.array([2, 500], np.float32)
    levels = Levels(values, values, cats)
    Model(made.parameters, made.facts, made.arrays, levels).save(tmp_path)
    loaded = load(tmp_path, "cpu")
    assert loaded.levels is not None
    assert loaded.levels.arrays().keys() == levels.arrays().keys()
    assert loaded.arrays.keys() == made.arrays.keys()
    new = [instance(0, target=[], cat=cat) for cat in cats.tolist()]
    low, high = (one["mean"] for one in ask(loaded, *new)["predictions"])
    assert np.abs(high).max() > 50 * np.abs(low).max()
    Model(made.parameters, made.facts, made.arrays, Levels(values, values, cats[:, :1])).save(tmp_path)
    with pytest.raises(UserError, match="levels, level_means, level_cats are not those of 2 cat"):
        load(tmp_path, "cpu")


def test_new_series_are_forecast_the_same_in_any_company_and_piece(
    made: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.array([2, 30, 500], np.float32)
    levels = Levels(values, values * [1, -1, 1], np.array([[0, 0], [0, 0], [1, 2]]))
    leveled = Model(made.parameters, made.facts, made.arrays, levels)
    new = [
        instance(length, target=[value] * length, cat=cat)
        for length, value, cat in ((0, 0, [0, 0]), (3, None, [1, 2]), (40, 0, [0, 1]), (2, 5.0, [0, 0]))
    ]
    whole = ask(leveled, *new, num_samples=7, output_types=["samples"])["predictions"]
    monkeypatch.setattr("optml.algorithms.forecasting_deepar.model.APART", 12_000)  # a few paths at a time
    for company in (new, new[::-1], new[2:], new[:1]):
        answers = ask(leveled, *company, num_samples=7, output_types=["samples"])["predictions"]
        for one, answer in zip(company, answers, strict=True):
            np.testing.assert_allclose(answer["samples"], whole[new.index(one)]["samples"], rtol=1e-4)
    assert len({tuple(path) for one in whole[:3] for path in one["samples"]}) == 21


def test_a_damaged_model_is_named(made: Model, tmp_path: Path) -> None:
    made.save(tmp_path)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"num_dynamic_feat": 1', '"num_dynamic_feat": 2'))
    with pytest.raises(
        UserError, match=r"array 'lstm_l_0i2h_weight' has shape \[32, 53\], expected \[32, 54\]"
    ):
        load(tmp_path, "cpu")
    (tmp_path / "model.json").write_text(text.replace('"likelihood": "student-T"', '"likelihood": "beta"'))
    with pytest.raises(UserError, match="lacks the array 'alpha_Noneproj_weight'"):
        load(tmp_path, "cpu")


def aws_folder(folder: Path, of: Model, **config: Any) -> None:
    """What AWS's image leaves of such a network."""
    settings = of.parameters
    described = {
        "cardinality": list(of.facts.cardinality), "category_provided": True, "likelihood": "gaussian",
        "model_version": 1, "num_dynamic_feat": of.facts.dynamics, "pred_batch_size": 1,
        "prediction_length": settings.prediction_length, "time_freq": settings.time_freq,
        "train_length": settings.context_length + int(settings.frequency.lags[-1]),
    } | config  # fmt: skip
    aws_graph.folder(folder, of.arrays, of.facts.scale, **described)


@pytest.mark.parametrize("frequency", ["M", "H", "15min"])
def test_a_model_of_awss_is_served_as_it_is(tmp_path: Path, frequency: str) -> None:
    trained = model(likelihood="gaussian", time_freq=frequency)
    aws_folder(tmp_path, trained)
    assert aws.recognises(tmp_path)
    loaded = load(tmp_path, "cpu")
    assert loaded.parameters.context_length == 12
    assert ask(loaded, instance()) == ask(trained, instance())


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(
    "target",
    [
        [1.0, 2.5, 3.0, 2.0] * 12,  # longer than context
        [4.0, 2.5, 3.0],
        [7.0],
        [],
        [None, None],
        [0.0, 0.0, 0.0],
        [3.0, None, 2.0, None, None, 1.0, 5.0],
        [9.0] * 5 + [None] * 12,  # nothing in the context
    ],
    ids=str,
)
def test_a_model_of_awss_forecasts_what_its_graph_computes(
    tmp_path: Path, target: list[float | None], layers: int
) -> None:
    trained = model(likelihood="gaussian", num_layers=layers)
    trained.arrays["sigma_Noneproj_weight"][:] = 0
    trained.arrays["sigma_Noneproj_bias"][:] = -40  # draws are all but the mean
    aws_folder(tmp_path, trained)
    request = instance(len(target), target=target)
    lags = trained.parameters.frequency.lags.tolist()
    expected = aws_graph.means(trained.arrays, request, lags, 12, 4, trained.facts.scale)
    (answer,) = ask(load(tmp_path, "cpu"), request)["predictions"]
    np.testing.assert_allclose(answer["mean"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attributes", ["attrs", "attr", "param"])
def test_the_scale_of_what_has_none_stands_in_awss_graph(tmp_path: Path, attributes: str) -> None:
    aws_folder(tmp_path, model(likelihood="gaussian"))
    graph = tmp_path / "model_algo-1-symbol.json"
    graph.write_text(json.dumps(aws_graph.symbol(168.25, attributes)))
    assert load(tmp_path, "cpu").facts.scale == 168.25


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{}",
        "[]",
        '{"nodes": [1, {"op": "where"}, {"op": "where", "inputs": [[0], [0], [99]]}]}',
        json.dumps(aws_graph.symbol(None)),
        json.dumps(aws_graph.symbol(float("inf"))),
    ],
)
def test_a_graph_that_does_not_tell_the_scale_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
) -> None:
    aws_folder(tmp_path, model(likelihood="gaussian"))
    graph = tmp_path / "model_algo-1-symbol.json"
    graph.unlink() if text is None else graph.write_text(text)
    assert load(tmp_path, "cpu").facts.scale == 1
    assert "does not tell the mean of the training values" in caplog.text
    graph.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"time_freq": "Y"}, "time_freq='Y' is unknown"),
        ({"train_length": None}, "does not describe a DeepAR model"),
        ({"likelihood": "negative-binomial"}, "lacks the array 'total_count_Noneproj_weight'"),
        ({"num_dynamic_feat": 3}, "expected"),
    ],
)
def test_a_model_of_awss_that_does_not_fit_is_named(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    aws_folder(tmp_path, model(likelihood="gaussian"), **change)
    with pytest.raises(UserError, match=problem):
        load(tmp_path, "cpu")


def test_other_folders_are_not_recognised(tmp_path: Path) -> None:
    assert not aws.recognises(tmp_path)
    (tmp_path / "model_algo-1-config.json").write_text("[]")
    assert not aws.recognises(tmp_path)
    with pytest.raises(UserError, match="holds no JSON object"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("frequency", ["H", "M"])
def test_forecasts_are_drawn(tmp_path: Path, frequency: str) -> None:
    pytest.importorskip("matplotlib")
    from optml.algorithms.forecasting_deepar.picture import draw

    drawn = model(time_freq=frequency)
    request = decode(json.dumps({"instances": [instance(), instance(2)] * 4}).encode(), JSON, drawn)
    assert draw(drawn, request, tmp_path / "a.png") == "forecasts of the first 6 of 8 series"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
