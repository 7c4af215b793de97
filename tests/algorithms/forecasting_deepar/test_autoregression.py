"""Where learning begins: least squares on the lags, and the unit of the network that carries it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar.autoregression import Autoregression, fit
from optml.algorithms.forecasting_deepar.data import data
from optml.algorithms.forecasting_deepar.reading import read
from optml.algorithms.forecasting_deepar.windows import Shape
from optml.container.group import Alone
from tests.algorithms.forecasting_deepar.sample import START, channel, parameters, setting
from tests.algorithms.hosts import on_hosts

GIVEN: dict[str, Any] = {"context_length": 24, "prediction_length": 12}


def weekly(number: int = 6, length: int = 2400) -> list[dict[str, Any]]:
    """Levels of their own, and half of what the day before was, half of the day a week before that."""
    generator = np.random.default_rng(3)
    records = []
    for _ in range(number):
        values = 10 + generator.normal(size=length)
        for t in range(168, length):
            values[t] = 0.5 * values[t - 24] + 0.5 * values[t - 168] + 0.1 * generator.normal()
        records.append({"start": START, "target": (values * generator.uniform(1, 100)).tolist()})
    return records


def fitted(records: list[dict[str, Any]], cluster: Cluster | None = None) -> Autoregression | None:
    made = parameters(**GIVEN)
    series = read(channel(*records), made) if records else None
    return fit(series, Shape.of(made), 1.0, cluster or Alone())


def test_the_lags_that_made_the_series_are_found() -> None:
    found = fitted(weekly())
    assert found is not None
    lags = parameters().frequency.lags.tolist()
    expected = np.zeros(len(lags))
    expected[[lags.index(24), lags.index(168)]] = 0.5
    np.testing.assert_allclose(found.weights, expected, atol=0.15)
    assert found.weights.sum() + found.level == pytest.approx(1, abs=0.01)  # scales are means
    assert found.deviation == pytest.approx(0.1 / 10, rel=0.15)


def test_lags_that_mostly_lie_before_the_beginning_are_left_out() -> None:
    found = fitted(weekly(length=400))
    assert found is not None
    lags = parameters().frequency.lags
    assert not found.weights[lags >= 167].any()
    assert found.weights[lags < 74].all()


def test_lags_that_training_hardly_has_are_no_inputs() -> None:
    found = fitted(weekly(length=340))
    assert found is not None
    lags = parameters().frequency.lags
    assert not found.whitening[lags >= 335].any()
    assert found.whitening[lags < 170].any(axis=1).all()


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_constant_series_are_fitted(value: float) -> None:
    found = fitted([{"start": START, "target": [value] * 400}])
    assert found is not None
    assert found.weights.sum() + found.level == pytest.approx(float(value > 0), abs=1e-3)
    assert found.deviation < 1e-3


def test_values_too_far_apart_leave_the_network_as_it_is() -> None:
    far = [1e-30, 3e38] * 100
    found = fitted([{"start": START, "target": [*far, *[1e-38] * 200]}])
    assert found is None or np.isfinite([*found.weights, found.level, found.deviation]).all()


def test_whitened_lags_vary_alike_in_all_directions() -> None:
    found = fitted(weekly())
    assert found is not None
    lags = parameters().frequency.lags
    values = np.array(weekly(1)[0]["target"])
    values /= values.mean()
    at = np.arange(lags.max(), len(values))[:, None]
    known = found.weights != 0
    plain = np.linalg.eigvalsh(np.cov(values[at - lags][:, known], rowvar=False))
    white = np.linalg.eigvalsh(np.cov((values[at - lags] @ found.whitening)[:, known], rowvar=False))
    assert plain[-1] > 100 * plain[0]
    assert white[-1] < 20 * white[0]
    np.testing.assert_allclose(found.whitening, found.whitening.T, atol=1e-12)


def test_hosts_with_parts_of_the_series_find_what_one_finds() -> None:
    records = weekly()
    alone = fitted(records)
    parts = on_hosts(2, lambda cluster: fitted(records if cluster.rank else [], cluster))
    assert alone is not None
    for found in parts:
        assert found is not None
        np.testing.assert_allclose(found.weights, alone.weights, rtol=1e-9)


def test_a_network_begins_at_the_autoregression() -> None:
    torch = pytest.importorskip("torch")
    from optml.algorithms.forecasting_deepar.learner import Learner
    from optml.algorithms.forecasting_deepar.windows import gather

    made = setting(**GIVEN)
    source = data(channel(*weekly()), made)
    learner = Learner(replace(made, train=source))
    learner._begin()
    found = fitted(weekly())
    assert found is not None
    assert learner.facts is not None
    windows = gather(source.series, np.arange(3), np.full(3, 2300), learner.shape, 1.0)
    with torch.no_grad():
        location = learner._outputs(windows, None)[:, :, 0].numpy()
    expected = found.level + windows.inputs[..., -len(found.weights) :] @ found.weights
    np.testing.assert_allclose(location[2:], expected[2:], atol=0.02)
