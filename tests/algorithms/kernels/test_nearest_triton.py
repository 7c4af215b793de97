"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.nearest import Totals
from tests.algorithms.kernels import agreement
from tests.algorithms.kernels.agreement import SHAPES, agree, normal

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu


def by_triton(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, Totals]:
    from optml.algorithms.kernels.nearest import triton as nearest_triton

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, c = (torch.from_numpy(array).to(device) for array in (rows, centers))
    labels, squared = nearest_triton.nearest(x, c.float())
    counts, sums, loss = (part.cpu().numpy() for part in nearest_triton.absorb(x, c))
    return labels.cpu().numpy(), squared.cpu().numpy(), Totals(counts, sums, loss)


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_sizes_agree_with_the_reference(shape: tuple[int, int, int]) -> None:
    agree(by_triton, *normal(*shape))


def test_one_label_for_many_runs_of_rows_is_added_up() -> None:
    rows, _ = normal(500, 70, 1)
    agree(by_triton, rows, np.zeros((3, 70)) + np.array([[0.0], [9.0], [-9.0]]))


def test_data_far_from_the_origin_keep_their_neighbours() -> None:
    agreement.keeps_neighbours_far_from_the_origin(by_triton)


def test_ties_go_to_the_lowest_center() -> None:
    agreement.gives_ties_to_the_lowest_center(by_triton)


@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value)")
def test_scores_that_overflow_still_choose_some_center() -> None:
    agreement.survives_overflow(by_triton)
