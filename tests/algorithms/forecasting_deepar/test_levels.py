"""Levels of training series, and those that are drawn for a series that has none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.forecasting_deepar.levels import MOST, Levels
from optml.container.group import Alone
from tests.algorithms.forecasting_deepar.sample import START, series
from tests.algorithms.hosts import on_hosts


def of(*pairs: tuple[float, Any]) -> Levels:
    """Of series with these values throughout, and these cats."""
    records = [
        {"start": START, "target": [value, value]} | ({"cat": cat} if cat else {}) for value, cat in pairs
    ]
    levels = Levels.of(series(records), Alone())
    assert levels is not None
    return levels


def cat(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_levels_are_drawn_from_the_series_of_the_same_cat() -> None:
    levels = of((5, [0]), (500, [1]), (5, [0]), (500, [1]), (0, [2]), (0, [2]))
    assert set(levels.draw(cat(0), 50, 1)[0].tolist()) == {5}
    assert set(levels.draw(cat(1), 50, 1)[0].tolist()) == {500}
    assert set(levels.draw(cat(2), 50, 1)[0].tolist()) == {0}  # all zero: so will the new one be
    assert [levels.middle(cat(value))[0].item() for value in range(3)] == [5, 500, 0]


def test_without_cat_all_levels_are_drawn_from_and_each_as_often() -> None:
    drawn = of((5, []), (50, []), (500, [])).draw(cat(), 3000, 1)[0]
    for level in (5, 50, 500):  # smeared
        assert 700 < (np.abs(np.log(drawn / level)) < np.log(10) / 2).sum() < 1300


def test_a_cat_that_nobody_had_draws_from_those_that_share_the_most_fields() -> None:
    levels = of((2, [0, 0]), (2, [0, 1]), (300, [1, 0]), (300, [1, 2]), (7000, [2, 2]))
    assert set(levels.draw(cat(0, 2), 100, 1)[0].round().tolist()) == {2, 300, 7000}
    assert levels.draw(cat(1, 1), 100, 1)[0].max() < 400  # shares a field with 300, 300 and 2
    assert set(levels.draw(cat(5, 5), 500, 1)[0].round().tolist()) == {2, 300, 7000}  # with none: any


@pytest.mark.parametrize("members", [1, 3, 12])
def test_what_is_drawn_lies_as_far_apart_as_a_new_member_from_the_old_ones(members: int) -> None:
    """Categories whose levels have a deviation of .5 in logarithms: of new members, 80 % lie in the interval
    of 80 %, also where only few of a category were seen."""
    generator = np.random.default_rng(members)
    means = generator.normal(3, 2, 400)
    seen = np.exp(means[:, None] + 0.5 * generator.standard_normal((400, members)))
    others = np.exp(means[:, None] + 0.5 * generator.standard_normal((400, 2)))
    levels = of(
        *((level, [number]) for number, row in enumerate(seen) for level in row.tolist()),
        *((level, [1000 + number]) for number, row in enumerate(others) for level in row.tolist()),
    )
    new = np.exp(means + 0.5 * generator.standard_normal(400))
    drawn = np.array([levels.draw(cat(number), 200, number)[0] for number in range(400)])
    low, high = np.quantile(drawn, [0.1, 0.9], axis=1)
    assert np.mean((low < new) & (new < high)) == pytest.approx(0.8, abs=0.07)


def test_levels_on_both_sides_of_zero_are_drawn_with_their_side() -> None:
    levels = of((-5, [0]), (500, [1]), (0, [2]), (-5, [3]), (500, [3]))
    for value, side in ((0, -1), (1, 1), (2, 0)):
        assert set(levels.draw(cat(value), 20, 1)[1].tolist()) == {side}
        assert levels.middle(cat(value))[1].item() == side
    assert set(levels.draw(cat(3), 20, 1)[1].tolist()) == {-1, 1}
    assert not of((-5, [0]), (-7, [0])).draw(cat(0), 9, 1)[1].any()  # a network has learnt how these begin


def test_the_same_seed_draws_the_same_levels() -> None:
    levels = of((5, []), (50, []))
    assert levels.draw(cat(), 9, 4)[0].tolist() == levels.draw(cat(), 9, 4)[0].tolist()
    assert levels.draw(cat(), 9, 4)[0].tolist() != levels.draw(cat(), 9, 5)[0].tolist()


def test_few_levels_of_a_large_category_stand_for_all() -> None:
    generator = np.random.default_rng(0)
    values = np.exp(generator.normal(0, 1, 3000))
    levels = of(*((value, [0]) for value in values.tolist()), (9, [1]))
    assert len(levels) == MOST + 1
    for share in (0.1, 0.5, 0.9):
        kept = np.quantile(levels.values[levels.cats[:, 0] == 0], share)
        assert kept == pytest.approx(np.quantile(values, share), rel=0.05)


def test_hosts_bring_their_levels_together_and_series_without_values_have_none() -> None:
    records = [{"start": START, "target": [value], "cat": [0]} for value in (1.0, None, 3.0)]
    whole = Levels.of(series(records), Alone())
    parts = on_hosts(2, lambda cluster: Levels.of(series(records[cluster.rank :: 2]), cluster))
    other = on_hosts(2, lambda cluster: Levels.of(None if cluster.rank else series(records), cluster))
    for levels in (*parts, *other):
        assert levels is not None
        assert whole is not None
        assert levels.values.tolist() == whole.values.tolist() == [1, 3]
        assert levels.cats.tolist() == [[0], [0]]
    assert Levels.of(series(records[1:2]), Alone()) is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"levels": np.ones(2)},
        {"levels": np.ones(2), "level_cats": np.ones((2, 1))},
        {"levels": np.ones(2), "level_means": np.ones(2), "level_cats": np.ones((2, 3))},
        {"levels": np.ones((2, 1)), "level_means": np.ones((2, 1)), "level_cats": np.ones((2, 1))},
        {"levels": np.array([1, np.nan]), "level_means": np.ones(2), "level_cats": np.ones((2, 1))},
        {"levels": np.array([1, -1]), "level_means": np.ones(2), "level_cats": np.ones((2, 1))},
        {"levels": np.ones(2), "level_means": np.array([1, np.inf]), "level_cats": np.ones((2, 1))},
    ],
)
def test_arrays_that_are_no_levels_are_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="levels"):
        Levels.of_arrays(arrays, 1)
    assert Levels.of_arrays({}, 1) is None
