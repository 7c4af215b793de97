from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from optml.algorithms.kernels.machine.simd import LANES
from optml.algorithms.kernels.machine.tiles import TALL, flat_tile, tall_tile, tall_tile_ahead


@njit  # type: ignore[untyped-decorator]
def tall(a: np.ndarray, across: int, along: int, b: np.ndarray, c: np.ndarray) -> None:
    tall_tile(a, 0, across, along, b, LANES, c, LANES, 2 * LANES, b.shape[0])


@njit  # type: ignore[untyped-decorator]
def ahead(a: np.ndarray, across: int, along: int, b: np.ndarray, c: np.ndarray) -> None:
    tall_tile_ahead(a, 0, across, along, b, LANES, c, LANES, 2 * LANES, b.shape[0])


@njit  # type: ignore[untyped-decorator]
def flat(a: np.ndarray, across: int, along: int, b: np.ndarray, c: np.ndarray) -> None:
    for row in range(c.shape[0]):
        place = row * 2 * LANES + LANES
        flat_tile(a, row * across, across, along, b, LANES, c, place, 2 * LANES, b.shape[0])


@pytest.mark.parametrize("depth", [0, 1, 3, 4, 5, 18])
def test_tiles_add_the_second_line_of_a_product_and_all_the_same_bits(depth: int) -> None:
    rng = np.random.default_rng(depth)
    a = rng.normal(size=(TALL, depth)).astype(np.float32)
    b = rng.normal(size=(depth, 2 * LANES)).astype(np.float32)
    before = rng.normal(size=(TALL, 2 * LANES)).astype(np.float32)
    expected = before.astype(np.float64)
    expected[:, LANES:] += a.astype(np.float64) @ b[:, LANES:].astype(np.float64)
    results = []
    for add in (tall, ahead, flat):
        for matrix, strides in ((a, (depth, 1)), (np.ascontiguousarray(a.T), (1, TALL))):
            c = before.copy()
            add(matrix, *strides, b, c)
            results.append(c)
    np.testing.assert_allclose(results[0], expected, atol=1e-5)
    np.testing.assert_array_equal(results[0][:, :LANES], before[:, :LANES])
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
