"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.topk import fold
from tests.algorithms.kernels import topk_agreement as agreement
from tests.algorithms.kernels.topk_agreement import SHAPES, agree, normal

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu


def by_triton(queries: np.ndarray, points: np.ndarray, k: int, inner: bool) -> tuple[np.ndarray, np.ndarray]:
    from optml.algorithms.kernels.topk import triton as topk_triton

    device = "cuda" if torch.cuda.is_available() else "cpu"
    terms = fold(points)
    x, y, mean, bias = (
        torch.from_numpy(array).to(device) for array in (queries, points, terms.mean, terms.bias)
    )
    distances, places = topk_triton.search(x, y, mean, bias, k, inner)
    return distances.cpu().numpy(), places.cpu().numpy()


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_odd_sizes_agree_with_the_reference(shape: tuple[int, int, int, int], inner: bool) -> None:
    agree(by_triton, *normal(*shape[:3]), shape[3], inner)


def test_points_far_from_the_origin_keep_their_order() -> None:
    agreement.finds_neighbours_far_from_the_origin(by_triton)


def test_points_close_together_are_told_apart() -> None:
    agreement.tells_points_apart_that_are_close_together_far_from_the_mean(by_triton)


@pytest.mark.slow
def test_several_runs_of_points_are_merged() -> None:
    agree(by_triton, *normal(3, 4001, 4), 20, False)


def test_blocks_of_scores_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optml.algorithms.kernels.topk.triton.VALUES", 1 << 18)
    agree(by_triton, *normal(3, 1500, 4), 150, False)
