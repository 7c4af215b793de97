"""Windows and batches: what a step's inputs are, and how many windows an epoch has."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar.data import Sampler, data, rule
from optml.algorithms.forecasting_deepar.facts import Facts
from optml.algorithms.forecasting_deepar.series import Series
from optml.algorithms.forecasting_deepar.windows import Shape, gather
from optml.container.group import Alone
from tests.algorithms.forecasting_deepar.sample import START, channel, parameters, series, setting, waves
from tests.algorithms.hosts import on_hosts


@pytest.mark.parametrize(
    ("count", "size", "said"),
    [
        (156, 128, "Doing 9 passes over dataset with prob 0.9116809116809116 per epoch."),
        (200, 32, "Doing 2 passes over dataset with prob 0.8 per epoch."),
        (320, 32, None),
    ],
)
def test_the_rule_of_an_epoch_is_that_of_awss_logs(
    count: int, size: int, said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    many = series({"start": START, "target": [1.0] * 40} for _ in range(count))
    with caplog.at_level(logging.INFO, "optml"):
        training = Sampler(many, parameters(mini_batch_size=size))
    assert caplog.messages == ([f"Small number of time series. {said}"] if said else [])
    sizes = [sum(map(len, training.epoch(number))) for number in range(30)]
    mean = max(count, 10 * size)
    assert abs(np.mean(sizes) - mean) < 4 * np.sqrt(mean / 30)
    assert np.std(sizes) < 2 * np.sqrt(mean)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.integers(1, 500))
def test_an_epoch_has_ten_batches_at_least(count: int, size: int) -> None:
    passes, probability = rule(count, size)
    assert 0 < probability <= 1
    assert passes * probability * count >= 10 * size - 1e-6


def test_windows_lie_inside_their_series_and_have_their_whole_context_where_it_is_long_enough() -> None:
    lengths = [3, 4, 10, 16, 17, 200]
    many = series({"start": START, "target": [1.0] * length} for length in lengths)
    draws = [draw for number in range(20) for draw in Sampler(many, parameters()).epoch(number)]
    which, at = (np.concatenate([getattr(draw, name) for draw in draws]) for name in ("which", "at"))
    assert set(which.tolist()) == {1, 2, 3, 4, 5}  # the first is shorter than a forecast
    assert set(at[which == 1].tolist()) == {0}
    assert set(at[which == 4].tolist()) == {12, 13}
    assert at[which == 5].min() >= 12
    assert at[which == 5].max() <= 196
    assert (which == 5).sum() > 50 * (which == 4).sum()  # longer series give more windows
    assert max(map(len, draws)) <= 8


def test_hosts_deal_out_the_windows_of_an_epoch_or_draw_their_own() -> None:
    def windows(cluster: object, distribution: str) -> list[tuple[int, int]]:
        source = channel(*waves(), distribution=distribution)
        made = data(source, setting(cluster))  # type: ignore[arg-type]
        return [
            pair for draw in made.epoch(0) for pair in zip(draw.which.tolist(), draw.at.tolist(), strict=True)
        ]

    whole = windows(Alone(), "FullyReplicated")
    first, second = on_hosts(2, lambda cluster: windows(cluster, "FullyReplicated"))
    assert whole[::2] == first
    assert whole[1::2] == second
    first, second = on_hosts(2, lambda cluster: windows(cluster, "ShardedByS3Key"))
    assert first != second
    assert len(first) > 0.7 * len(whole)
    processes = on_hosts(4, lambda cluster: windows(cluster, "ShardedByS3Key"), processes=2)
    for shard, (one, other) in zip((first, second), (processes[:2], processes[2:]), strict=True):
        assert (one, other) == (shard[::2], shard[1::2])


def shape(frequency: str = "H", context: int = 3, horizon: int = 2, scaled: bool = True) -> Shape:
    return Shape(parameters(time_freq=frequency).frequency, context, horizon, scaled)


def test_inputs_are_calendar_age_features_scale_and_lags_in_the_order_of_awss_graph() -> None:
    one = series(
        [{"start": "2016-01-04 05:00:00", "target": list(range(1, 13)), "dynamic_feat": [list(range(12))]}]
    )
    made = gather(one, np.array([0]), np.array([9]), shape(), 1.0)
    assert made.inputs.shape == (5, 1, 4 + 1 + 1 + 1 + 40)
    np.testing.assert_array_equal(made.target[:, 0], [7, 8, 9, 10, 11])
    assert made.scale[0] == 8  # of the context alone
    row = made.inputs[2, 0]  # point 8, at 13:00 on a Monday
    assert row[0] == pytest.approx(13 / 23 - 0.5)
    assert row[1] == -0.5
    assert row[4] == pytest.approx(np.log10(2 + 8))
    assert row[5] == 8  # raw
    assert row[6] == pytest.approx(np.log(8))
    np.testing.assert_allclose(row[7:14], np.array([8, 7, 6, 5, 4, 3, 2]) / 8)
    assert not row[14:].any()  # lags before the series began


def test_steps_before_a_series_are_padding_and_a_series_without_context_has_the_global_scale() -> None:
    one = series([{"start": START, "target": [None, 5, 6]}])
    made = gather(one, np.array([0, 0]), np.array([1, 0]), shape(), 2.5)
    assert made.real[:, 0].tolist() == [False, False, True, True, True]
    assert made.observed[:, 0].tolist() == [False, False, False, True, True]
    assert made.real[:, 1].tolist() == [False, False, False, True, True]
    assert made.scale.tolist() == [2.5, 2.5]
    assert gather(one, np.array([0]), np.array([1]), shape(scaled=False), 2.5).scale.tolist() == [1]


def test_a_context_that_tells_no_scale_has_that_of_all_points_before_it_but_not_in_awss_graph() -> None:
    one = series([{"start": START, "target": [None, 4, -6, None, None, None, 100, 7], "cat": [0]}])
    which, at = np.array([0, 0]), np.array([6, 1])
    assert gather(one, which, at, shape(), 2.5).scale.tolist() == [5, 2.5]
    assert gather(one, which, at, shape(), np.array([2.5, 3.5])).scale.tolist() == [5, 3.5]
    plain = replace(shape(), remembers=False)
    assert gather(one, which, at, plain, 2.5).scale.tolist() == [2.5, 2.5]


def test_a_request_knows_neither_its_future_nor_its_gaps() -> None:
    one = series([{"start": START, "target": [1, 2, 3, None, 5, 6]}], future=2)
    made = gather(one, np.array([0]), np.array([6]), shape(), 1.0, 3)
    lags = made.inputs[..., -40:][:, 0, :3] * made.scale[0]
    np.testing.assert_allclose(lags, [[3, 2, 1], [0, 3, 2], [5, 0, 3], [6, 5, 0], [0, 6, 5]])


def test_test_series_are_dealt_out_and_short_ones_left_out(caplog: pytest.LogCaptureFixture) -> None:
    records = [*waves(5, 20), {"start": START, "target": [1, 2, 3]}]

    def work(cluster: Cluster) -> list[Series]:
        test = data(channel(*records, name="test"), setting(cluster))
        test.fit_to(Facts((), 0, 1.0))
        return list(test.epoch(0))

    assert [len(parts[0]) for parts in on_hosts(2, work)] == [3, 2]
    assert "1 of 6 test series are shorter than prediction_length=4" in caplog.text
