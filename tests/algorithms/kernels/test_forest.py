from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from optml.algorithms.kernels.forest import cpu as forest_cpu
from optml.algorithms.kernels.forest import reference, score
from optml.algorithms.kernels.forest.growth import grow
from optml.algorithms.kernels.machine import threads
from tests.algorithms.kernels import forest_agreement
from tests.algorithms.kernels.forest_agreement import SHAPES, agree, forest, sample


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_sizes_agree_with_the_reference(shape: tuple[int, int, int, int]) -> None:
    agree(score, shape, rtol=1e-6)  # differences are taken in float32


def test_small_cases_come_out_as_by_hand() -> None:
    forest_agreement.small_cases(score)


def test_scores_do_not_depend_on_the_unit() -> None:
    forest_agreement.does_not_depend_on_the_unit(score, rtol=1e-6)


def test_blocks_and_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, trees = sample(300, 6, 20, 50)
    alone = np.concatenate([score(rows[i : i + 1], trees) for i in range(len(rows))])
    monkeypatch.setattr(forest_cpu, "ALONE", 0)
    monkeypatch.setattr(threads, "ALONE", 0)
    monkeypatch.setattr(forest_cpu, "ROWS", 7)
    np.testing.assert_array_equal(score(rows, trees), alone)


def test_a_large_mean_costs_no_digit() -> None:
    rng = np.random.default_rng(0)
    rows = (1e4 + rng.normal(size=(200, 100))).astype(np.float32)
    trees = forest(rows[:120], 3)
    np.testing.assert_allclose(score(rows, trees), reference(rows, trees), rtol=1e-6)


def test_a_node_with_two_parents_is_no_tree() -> None:
    rows, trees = sample(400, 3, 1, 20)
    below = np.arange(1, len(trees.children), dtype=np.int32)
    children = trees.children.copy()
    children[:-1] = below[:, None]
    with pytest.raises(ValueError, match="two parents"):
        score(rows, replace(trees, children=children))


def test_no_rows_have_no_scores() -> None:
    _, trees = sample(1, 2, 3, 4)
    assert score(np.empty((0, 2), np.float32), trees).shape == (0,)


finite = st.floats(-(2.0**100), 2.0**100, width=32)
tables = st.tuples(st.integers(1, 12), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=finite)
)


@settings(max_examples=200, deadline=None)
@given(tables, st.floats(0, 1, exclude_max=True))
def test_a_tree_holds_every_row_behind_its_cuts(rows: np.ndarray, uniform: float) -> None:
    tree = grow(rows, np.full(len(rows) - 1, uniform))
    assert len(tree.points) == len(np.unique(rows, axis=0))
    assert tree.masses.sum() == len(rows)
    assert len(tree.children) == len(tree.points) - 1
    counts = {}
    for row in rows:
        node = 0 if len(tree.children) else -1
        while node >= 0:
            side = int(row[tree.dimensions[node]] > tree.cuts[node])
            assert tree.children[node, side] > node or tree.children[node, side] < 0
            node = int(tree.children[node, side])
        np.testing.assert_array_equal(tree.points[~node], row)
        counts[~node] = counts.get(~node, 0) + 1
    assert counts == dict(enumerate(tree.masses.tolist()))


def test_boxes_enclose_the_points_below() -> None:
    trees = forest(np.random.default_rng(3).normal(size=(80, 3)), 2)
    roots = [0, int(trees.first[1]) - 1]
    for tree, root in enumerate(roots):
        points = trees.points[trees.first[tree] : trees.first[tree + 1]]
        np.testing.assert_array_equal(trees.boxes[root], [points.min(axis=0), points.max(axis=0)])
        assert trees.ranges[root] == pytest.approx(np.ptp(points, axis=0).sum(), rel=1e-6)


def test_cuts_fall_in_proportion_to_the_ranges() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0, 0], [3, 1, 0]], np.float32)
    cuts = [grow(corners, rng.random(1)) for _ in range(4000)]
    first = np.array([tree.dimensions[0] == 0 for tree in cuts])
    assert first.mean() == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / 4000))
    places = np.sort([tree.cuts[0] / 3 for tree, is_first in zip(cuts, first, strict=True) if is_first])
    steps = np.arange(len(places)) / len(places)
    assert abs(places - steps).max() < 1.95 / np.sqrt(len(places))  # Kolmogorov and Smirnov at 0.1 %


def test_neighbours_in_float32_are_still_parted() -> None:
    low = np.float32(16777216)
    rows = np.array([[low], [np.nextafter(low, np.float32(np.inf))]], np.float32)
    for uniform in (0.0, 0.5, np.nextafter(1, 0)):
        assert len(grow(rows, np.array([uniform])).points) == 2
