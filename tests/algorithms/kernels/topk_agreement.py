"""What every path to the nearest points must do, checked against the float64 reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from optml.algorithms.kernels.topk import reference

# Queries, points, features, k: fewer points than k, few and many queries, more than registers hold.
SHAPES = [
    (1, 1, 1, 1),
    (0, 5, 3, 2),
    (3, 40, 7, 50),
    (5, 1300, 33, 10),
    (40, 700, 65, 3),
    (70, 1100, 5, 130),
]

# (queries, points, k, inner) -> distances and places.
Way: TypeAlias = Callable[[np.ndarray, np.ndarray, int, bool], tuple[np.ndarray, np.ndarray]]


def normal(q: int, n: int, d: int, offset: float = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(q + n)
    return tuple((rng.normal(size=(m, d)) + offset).astype(np.float32) for m in (q, n))  # type: ignore[return-value]


def agree(way: Way, queries: np.ndarray, points: np.ndarray, k: int, inner: bool) -> None:
    distances, places = way(queries, points, k, inner)
    expected, nearest = reference(queries, points, k, inner)
    np.testing.assert_array_equal(places, nearest)
    np.testing.assert_allclose(distances, expected, rtol=1e-6, atol=1e-6)  # they are rounded to float32


def finds_neighbours_far_from_the_origin(way: Way) -> None:
    queries, points = normal(40, 900, 6, offset=3000)
    _, nearest = reference(queries, points, 10, False)
    np.testing.assert_array_equal(way(queries, points, 10, False)[1], nearest)
    np.testing.assert_array_equal(way(queries[:2], points, 10, False)[1], nearest[:2])


def tells_points_apart_that_are_close_together_far_from_the_mean(way: Way) -> None:
    """Towns on a map, whose distances are some 1e-14 of the square of those to the mean of all; and two stray
    queries between them whose neighbours the scores tell apart."""
    rng = np.random.default_rng(3)
    towns = rng.uniform(-100, 100, (40, 2))
    points = (towns[np.arange(2000) % 40] + rng.normal(0, 0.01, (2000, 2))).astype(np.float32)
    queries = points[:60] + rng.normal(0, 0.001, (60, 2)).astype(np.float32)
    queries[7:9] *= 0.5
    agree(way, queries, points, 5, False)
    agree(way, queries[:3], points, 5, False)


def gives_ties_to_the_first_places(way: Way, queries: int) -> None:
    points = np.ones((1100, 4), np.float32)
    points[7::3] = 0
    distances, places = way(np.zeros((queries, 4), np.float32), points, 5, False)
    assert places.tolist() == [[7, 10, 13, 16, 19]] * queries
    assert not distances.any()
