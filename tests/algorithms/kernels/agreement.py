"""What every path to the nearest center must do, checked against the float64 reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from optml.algorithms.kernels.nearest import Totals, reference

SHAPES = [(1, 1, 1), (0, 3, 2), (130, 3, 5), (257, 65, 130), (300, 32, 1030), (40, 129, 7)]

# (rows, centers) -> labels, squared distances, and what the rows add up to.
Way: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, Totals]]


def normal(n: int, d: int, k: int, seed: int = 0, offset: float = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + offset).astype(np.float32), rng.normal(size=(k, d)) + offset


def agree(way: Way, rows: np.ndarray, centers: np.ndarray) -> None:
    """The answer is the reference's, but for rows with two centers equally near to within rounding."""
    labels, squared, absorbed = way(rows, centers)
    _, smallest, _ = reference(rows, centers)
    away = np.linalg.norm(centers - centers.mean(axis=0), axis=1).max(initial=0)
    slack = 2.0**-21 * rows.shape[1] * (np.linalg.norm(rows, axis=1) * away + away**2) + 1e-12
    exact = np.square(rows - centers[labels]).sum(axis=1)
    assert (exact - smallest <= slack).all()
    np.testing.assert_allclose(squared, exact, rtol=1e-4, atol=1e-6)
    # What is added up belongs to the labels of the same products.
    np.testing.assert_array_equal(absorbed.counts, np.bincount(labels, minlength=len(centers)))
    sums = np.zeros(centers.shape)
    np.add.at(sums, labels, rows.astype(np.float64))
    np.testing.assert_allclose(absorbed.sums, sums, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(absorbed.loss, smallest.sum(), rtol=1e-4, atol=2 * slack.sum() + 1e-9)


def keeps_neighbours_far_from_the_origin(way: Way) -> None:
    rows, centers = normal(200, 6, 9, offset=3000)
    labels, _, _ = reference(rows, centers)
    assert (way(rows, centers)[0] == labels).mean() > 0.98


def gives_ties_to_the_lowest_center(way: Way) -> None:
    rows = np.ones((5, 4), np.float32)
    centers = np.zeros((1100, 4))
    centers[[3, 700, 1099]] = 1
    labels, squared, absorbed = way(rows, centers)
    assert labels.tolist() == [3] * 5
    assert squared.tolist() == [0] * 5
    assert absorbed.counts[3] == 5


def survives_overflow(way: Way) -> None:
    rows = np.full((3, 2), 3e38, np.float32)
    labels, _, _ = way(rows, np.array([[-3e38, 3e38], [3e38, -3e38]]))
    assert set(labels.tolist()) <= {0, 1}
