from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.kernels.nearest import Totals, absorb, move, nearest, reference
from tests.algorithms.kernels import agreement
from tests.algorithms.kernels.agreement import SHAPES, agree, normal


def on_cpu(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, Totals]:
    labels, squared = nearest(rows, centers.astype(np.float32))
    return labels, squared, absorb(rows, centers)


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_sizes_agree_with_the_reference(shape: tuple[int, int, int]) -> None:
    agree(on_cpu, *normal(*shape))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 600), d=st.integers(1, 40), k=st.integers(1, 60), seed=st.integers(0, 99))
def test_any_size_agrees_with_the_reference(n: int, d: int, k: int, seed: int) -> None:
    agree(on_cpu, *normal(n, d, k, seed))


def test_rows_shared_out_to_threads_agree_with_the_reference() -> None:
    agree(on_cpu, *normal(5000, 32, 200))


def test_rows_need_not_be_contiguous() -> None:
    rows, centers = normal(300, 8, 7)
    agree(on_cpu, rows[::2, 1:5], np.ascontiguousarray(centers[:, :4]))


def test_data_far_from_the_origin_keep_their_neighbours() -> None:
    agreement.keeps_neighbours_far_from_the_origin(on_cpu)


def test_ties_go_to_the_lowest_center() -> None:
    agreement.gives_ties_to_the_lowest_center(on_cpu)


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value)")
def test_scores_that_overflow_still_choose_some_center() -> None:
    agreement.survives_overflow(on_cpu)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_moved_centers_are_weighted_means_and_the_loss_is_that_of_the_rows(kind: str) -> None:
    rng = np.random.default_rng(5)
    rows, centers, weights = (
        rng.normal(size=(90, 4)).astype(np.float32),
        rng.normal(size=(7, 4)),
        np.arange(7.0),
    )
    labels, smallest, totals = reference(rows, centers)
    totals = Totals(totals.counts, np.ascontiguousarray(totals.sums), totals.loss)
    before = centers.copy()
    parts = (centers, weights, totals.counts, totals.sums)
    if kind == "torch":  # which shares the memory of the arrays
        parts = tuple(map(pytest.importorskip("torch").from_numpy, parts))
    change = float(move(parts[0], parts[1], Totals(parts[2], parts[3], totals.loss)))
    for j in range(7):
        mine = rows[labels == j].astype(np.float64)
        expected = (j * before[j] + mine.sum(axis=0)) / (j + len(mine)) if len(mine) else before[j]
        np.testing.assert_allclose(centers[j], expected)
        assert weights[j] == j + len(mine)
    after = np.square(rows - centers[labels]).sum()
    np.testing.assert_allclose(smallest.sum() + change, after)
