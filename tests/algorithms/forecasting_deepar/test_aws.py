"""Models that AWS's image has trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optml.algorithms.forecasting_deepar import aws
from optml.algorithms.forecasting_deepar.model import Model, load
from optml.errors import UserError
from tests.algorithms.forecasting_deepar import aws_graph
from tests.algorithms.forecasting_deepar.networks import ask, instance, model


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
