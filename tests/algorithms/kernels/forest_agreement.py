"""What every path to the scores of a forest must do, checked against the float64 reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pytest

from optml.algorithms.kernels.forest import reference
from optml.algorithms.kernels.forest.growth import grow, join
from optml.algorithms.kernels.forest.terms import Forest

SHAPES = [
    (1, 1, 1, 1), (7, 1, 3, 5), (37, 3, 4, 20), (130, 70, 2, 9), (5, 33, 50, 3), (20, 9, 3, 60),
    (9, 16, 2, 30),
]  # fmt: skip

Way: TypeAlias = Callable[[np.ndarray, Forest], np.ndarray]


def forest(rows: np.ndarray, trees: int, seed: int = 0) -> Forest:
    """Trees over equal runs of the (n, d) rows."""
    rng = np.random.default_rng(seed)
    runs = np.split(rows.astype(np.float32), trees)
    return join([grow(run, rng.random(len(run) - 1)) for run in runs], len(runs[0]))


def sample(n: int, d: int, trees: int, m: int) -> tuple[np.ndarray, Forest]:
    """Rows of small integers, so that many lie on points, on cuts or outside, and a forest."""
    rng = np.random.default_rng(n)
    points = rng.integers(0, 5, size=(trees * m, d))
    rows = rng.integers(-1, 7, size=(n, d))
    rows[: min(n // 2, len(points))] = points[: n // 2]
    return rows.astype(np.float32), forest(points, trees)


def agree(way: Way, shape: tuple[int, int, int, int], rtol: float) -> None:
    rows, case = sample(*shape)
    np.testing.assert_allclose(way(rows, case), reference(rows, case), rtol=rtol)


def small_cases(way: Way) -> None:
    """Section (i) 4 of the specification, worked out by hand."""

    def score(points: list[float], x: float) -> float:
        tree = forest(np.array(points)[:, None], 1)
        return float(way(np.array([[x]], np.float32), tree)[0])

    assert score([0, 1], 3) == pytest.approx(5 / 6 * np.log2(3), rel=1e-6)
    assert score([0, 1], 0) == pytest.approx(np.log2(3), rel=1e-6)
    assert score([0, 0, 1], 0) == pytest.approx(1, rel=1e-6)
    assert score([4], 4) == score([4], 5) == 1
    assert score([4, 4, 4, 4], 4) == pytest.approx(np.log2(5) / 2, rel=1e-6)
    assert score([4, 4, 4, 4], 5) == pytest.approx(np.log2(5), rel=1e-6)


def does_not_depend_on_the_unit(way: Way, rtol: float) -> None:
    rng = np.random.default_rng(0)
    points, rows = rng.normal(size=(60, 40)), rng.normal(size=(30, 40)).astype(np.float32)
    near = way(rows, forest(points, 3))
    for unit in (2.0**124, 2.0**-90):
        far = way(rows * np.float32(unit), forest(points * unit, 3))
        np.testing.assert_allclose(far, near, rtol=rtol)
    lonely = way(np.full((1, 40), 3e38, np.float32), forest(points, 3))
    assert lonely == pytest.approx(np.log2(21), rel=1e-5)
