"""Sample paths: the steps are those of the formulas, the draws have the moments of their distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from optml.algorithms.kernels.forecast import Forecaster, Layer, Steps

HORIZON = 5


def network(
    kind: str, width: int, layers: int, inputs: int, outputs: int
) -> tuple[list[Layer], np.ndarray, np.ndarray]:
    generator = np.random.default_rng(width)

    def normal(*shape: int) -> np.ndarray:
        return (0.4 * generator.standard_normal(shape)).astype(np.float32)

    parts = [
        Layer(normal(4 * width, width if layer else inputs), normal(4 * width, width), normal(4 * width))
        for layer in range(layers)
    ]
    return parts, normal(outputs, width), normal(outputs)


def steps(series: int, total: int, plain: int, lags: list[int]) -> Steps:
    generator = np.random.default_rng(series)
    inputs = generator.standard_normal((series, total, plain + len(lags))).astype(np.float32)
    unknown = generator.random((series, total)) < 0.2
    unknown[:, -HORIZON:] = True
    real = np.ones((series, total), bool)
    real[0, :3] = False
    for place, lag in enumerate(lags):
        for step in range(total):
            if step >= lag:
                inputs[unknown[:, step - lag] | ~real[:, step - lag], step, plain + place] = 0
    scale = (1 + generator.random(series)).astype(np.float32)
    return Steps(inputs, unknown, real, scale, np.array(lags), np.arange(series).astype(np.uint64))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def points(layers: list[Layer], head: np.ndarray, bias: np.ndarray, series_steps: Steps) -> np.ndarray:
    """(n, t) in float64: where a point is unknown, scale times the first output."""
    series, total, _ = series_steps.inputs.shape
    values = np.zeros((series, total))
    lags = series_steps.lags.tolist()
    for one in range(series):
        states = [[np.zeros(len(head[0])), np.zeros(len(head[0]))] for _ in layers]
        for step in range(total):
            below = series_steps.inputs[one, step].astype(np.float64)
            for place, lag in enumerate(lags, len(below) - len(lags)):
                then = step - lag
                if then >= 0 and series_steps.unknown[one, then] and series_steps.real[one, then]:
                    below[place] = values[one, then] / series_steps.scale[one]
            for number, layer in enumerate(layers):
                h, c = (state * series_steps.real[one, step] for state in states[number])
                gates = layer.inputs.astype(np.float64) @ below + layer.recurrent @ h + layer.bias
                i, f, g, o = np.split(gates, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                h = sigmoid(o) * np.tanh(c)
                states[number] = [h, c]
                below = h + below if number else h
            values[one, step] = series_steps.scale[one] * (head[0] @ below + bias[0])
    return values


@pytest.mark.parametrize(("series", "width", "layers"), [(3, 5, 1), (6, 16, 2), (1, 40, 3)])
def test_point_forecasts_are_those_of_the_formulas(series: int, width: int, layers: int) -> None:
    layer_list, head, bias = network("deterministic-L1", width, layers, 3 + 3, 1)
    series_steps = steps(series, 12, 3, [1, 2, 7])
    paths = Forecaster(layer_list, head, bias, "deterministic-L1").sample(series_steps, 2, HORIZON)
    assert paths.shape == (series, 2, HORIZON)
    expected = points(layer_list, head, bias, series_steps)[:, -HORIZON:]
    np.testing.assert_allclose(paths[:, 0], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(paths[:, 0], paths[:, 1])


@pytest.mark.parametrize(
    ("kind", "raw", "mean", "variance"),
    [
        ("gaussian", [0.5, 0.3], 1.0, (2 * np.log1p(np.exp(0.3))) ** 2),
        ("student-T", [0.5, 0.3, 6.0], 1.0, (2 * np.log1p(np.exp(0.3))) ** 2 * 8.0025 / 6.0025),
        ("negative-binomial", [1.0, 0.2], 1.3133 * 2.4428, 1.3133 * 2.4428 * 3.4428),
        ("negative-binomial", [3.0, 2.0], 3.0486 * 14.778, 3.0486 * 14.778 * 15.778),
        ("negative-binomial", [-2.0, 0.0], 0.12693 * 2, 0.12693 * 2 * 3),
        ("beta", [1.0, 0.2], 1.3133 / (1.3133 + 0.7981), None),
    ],
)
def test_draws_have_the_moments_of_their_distribution(
    kind: str, raw: list[float], mean: float, variance: float | None
) -> None:
    layer_list, head, _ = network(kind, 4, 1, 2, len(raw))
    series_steps = steps(1, 8, 1, [1])
    series_steps.scale[:] = 2 if kind != "beta" else 1
    forecaster = Forecaster(layer_list, 0 * head, np.array(raw, np.float32), kind)
    draws = forecaster.sample(series_steps, 40_000, HORIZON).astype(np.float64)
    assert draws.mean() == pytest.approx(mean, abs=5 * draws.std() / np.sqrt(draws.size))
    if variance is not None:
        assert draws.var() == pytest.approx(variance, rel=0.03)
    if kind == "negative-binomial":
        assert (draws == np.round(draws)).all()
        assert draws.min() >= 0


@pytest.mark.parametrize("raw", [-8.0, 0.5, 8.0, 1e5])
def test_draws_of_students_t_lie_where_its_quantiles_are(raw: float) -> None:
    layer_list, head, _ = network("student-T", 4, 1, 2, 3)
    series_steps = steps(1, 8, 1, [1])
    series_steps.scale[:] = 3
    forecaster = Forecaster(layer_list, 0 * head, np.array([-1.0, 2.0, raw], np.float32), "student-T")
    draws = forecaster.sample(series_steps, 40_000, HORIZON).ravel()
    width = 3 * np.logaddexp(0, 2.0)
    distribution = stats.t(2 + np.logaddexp(0, raw), -3, width)
    # of as many draws, the largest distance of both distributions is above this once in 10,000 times
    assert stats.ks_1samp(draws, distribution.cdf).statistic < 2.23 / np.sqrt(draws.size)
    share = (np.abs(draws + 3) > 5 * width).mean()
    expected = 2 * stats.t(2 + np.logaddexp(0, raw)).sf(5)
    assert share == pytest.approx(expected, abs=5 * np.sqrt(expected / draws.size) + 1e-6)


def test_draws_of_a_path_are_independent_and_every_second_path_mirrors_the_one_before() -> None:
    layer_list, head, _ = network("gaussian", 4, 1, 2, 2)
    forecaster = Forecaster(layer_list, 0 * head, np.array([0.0, 0.0], np.float32), "gaussian")
    draws = forecaster.sample(steps(3, 8, 1, [1]), 20_001, HORIZON)
    np.testing.assert_array_equal(draws[:, 1::2], -draws[:, :-1:2])
    firsts = draws[:, ::2].transpose(0, 2, 1).reshape(3 * HORIZON, -1)
    correlations = np.corrcoef(firsts)
    assert np.abs(correlations - np.eye(3 * HORIZON)).max() < 5 / np.sqrt(10_000)
    assert abs(np.corrcoef(firsts[0, 1:], firsts[0, :-1])[0, 1]) < 5 / np.sqrt(10_000)


@pytest.mark.parametrize(("kind", "outputs"), [("negative-binomial", 2), ("beta", 2)])
def test_paths_of_other_distributions_are_independent(kind: str, outputs: int) -> None:
    layer_list, head, bias = network(kind, 4, 1, 2, outputs)
    draws = Forecaster(layer_list, 0 * head, bias + 2, kind).sample(steps(1, 8, 1, [1]), 20_000, HORIZON)[
        0, :, 0
    ]
    assert abs(np.corrcoef(draws[::2], draws[1::2])[0, 1]) < 5 / np.sqrt(10_000)


def test_paths_of_a_series_do_not_depend_on_its_neighbours() -> None:
    layer_list, head, bias = network("gaussian", 6, 2, 5, 2)
    forecaster = Forecaster(layer_list, head, bias, "gaussian")
    series_steps = steps(5, 12, 3, [1, 3])
    together = forecaster.sample(series_steps, 7, HORIZON)
    for one in range(5):
        alone = Steps(
            *(
                np.ascontiguousarray(getattr(series_steps, name)[one : one + 1])
                for name in ("inputs", "unknown", "real", "scale")
            ),
            series_steps.lags,
            series_steps.keys[one : one + 1],
        )
        np.testing.assert_allclose(
            forecaster.sample(alone, 7, HORIZON)[0], together[one], rtol=1e-4, atol=1e-5
        )
    assert np.unique(together[:, :, 0]).size == 35
