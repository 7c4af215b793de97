"""Compiled where there is a GPU; elsewhere Triton interprets the kernel on the CPU (tests/conftest.py)."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.forest import score
from optml.algorithms.kernels.forest.terms import Forest
from tests.algorithms.kernels import forest_agreement
from tests.algorithms.kernels.forest_agreement import SHAPES, agree

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu


def by_triton(rows: np.ndarray, forest: Forest) -> np.ndarray:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scores: np.ndarray = score(torch.from_numpy(rows).to(device), forest.on(device)).cpu().numpy()
    return scores


@pytest.mark.parametrize("shape", [*SHAPES, (0, 2, 1, 3)])
def test_odd_sizes_agree_with_the_reference(shape: tuple[int, int, int, int]) -> None:
    agree(by_triton, shape, rtol=2e-6)  # all in float32


def test_small_cases_come_out_as_by_hand() -> None:
    forest_agreement.small_cases(by_triton)


def test_scores_do_not_depend_on_the_unit() -> None:
    forest_agreement.does_not_depend_on_the_unit(by_triton, rtol=4e-6)


def test_trees_dealt_out_to_several_programs_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from optml.algorithms.kernels.forest import triton as forest_triton

    rows, trees = forest_agreement.sample(40, 2, 7, 6)
    monkeypatch.setattr(forest_triton, "LANES", 16)
    np.testing.assert_allclose(by_triton(rows, trees), score(rows, trees), rtol=2e-6)
    monkeypatch.setattr(forest_triton, "PROGRAMS", 1)
    np.testing.assert_allclose(by_triton(rows, trees), score(rows, trees), rtol=2e-6)
