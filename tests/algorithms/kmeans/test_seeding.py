from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kmeans.seeding import by_weight, draw, plus_plus


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("method", ["random", "kmeans++"])
def test_distinct_rows_are_drawn(method: str) -> None:
    rows = np.arange(40, dtype=np.float32).reshape(20, 2)
    rows_drawn = draw(rows, 20, method, rng())
    assert sorted(map(tuple, rows_drawn.tolist())) == sorted(map(tuple, rows.tolist()))


@pytest.mark.parametrize("method", ["random", "kmeans++"])
def test_too_few_rows_are_all_taken_and_then_repeated(method: str) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    rows_drawn = draw(rows, 8, method, rng())
    assert {tuple(row) for row in rows_drawn[:3].tolist()} == {tuple(row) for row in rows.tolist()}
    assert len(rows_drawn) == 8


def test_plus_plus_finds_every_far_group() -> None:
    groups = np.repeat(np.eye(6) * 1000, 50, axis=0) + rng().normal(size=(300, 6))
    places = plus_plus(groups, np.ones(300), 6, 20, 1, rng())
    assert (np.sort(places // 50, axis=1) == np.arange(6)).all()


def test_plus_plus_draws_by_weight_times_squared_distance() -> None:
    points = np.array([[0.0], [1.0], [2.0]])
    weights = np.array([1e9, 4.0, 1.0])  # the first is surely drawn first; then 4 * 1 against 1 * 4
    places = plus_plus(points, weights, 2, 4000, 1, rng())
    assert (places[:, 0] == 0).mean() > 0.999
    assert (places[:, 1] == 1).mean() == pytest.approx(0.5, abs=0.03)


def test_weights_draw_without_replacement() -> None:
    places = by_weight(np.array([8.0, 1.0, 1.0]), 2, 5000, rng())
    assert (places[:, 0] != places[:, 1]).all()
    # Out with the first with chance 0.1 * 0.1/0.9 * 2, as for two draws from an urn.
    assert (places == 0).any(axis=1).mean() == pytest.approx(1 - 2 * 0.1 * 0.1 / 0.9, abs=0.01)
