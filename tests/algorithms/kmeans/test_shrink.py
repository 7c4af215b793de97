from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.kmeans.shrink import Clustering, shrink


def run(points: np.ndarray, weights: np.ndarray, k: int, **options: Any) -> Clustering:
    settings = {
        "method": "kmeans++",
        "trials": 10,
        "max_iter": 300,
        "tol": 0.0,
        "rng": np.random.default_rng(0),
    }
    return shrink(points, weights, k, **(settings | options))


def loss(points: np.ndarray, weights: np.ndarray, centers: np.ndarray) -> float:
    squared = np.square(points[:, None] - centers[None]).sum(axis=2)
    return float(weights @ squared.min(axis=1) / weights.sum())


def some(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 3)) + 50, rng.exponential(size=count)


@pytest.mark.parametrize("method", ["random", "kmeans++"])
def test_the_loss_is_that_of_the_centers(method: str) -> None:
    points, weights = some(200)
    clustering = run(points, weights, 6, method=method)
    assert clustering.losses.shape == (10,)
    assert clustering.losses.min() == pytest.approx(loss(points, weights, clustering.centers))
    assert clustering.weights.sum() == pytest.approx(weights.sum())


def test_centers_are_weighted_means_of_their_points() -> None:
    points, weights = some(150)
    clustering = run(points, weights, 4)
    labels = np.square(points[:, None] - clustering.centers[None]).sum(axis=2).argmin(axis=1)
    for cluster in range(4):
        mine = labels == cluster
        np.testing.assert_allclose(
            clustering.centers[cluster], np.average(points[mine], axis=0, weights=weights[mine])
        )
        assert clustering.weights[cluster] == pytest.approx(weights[mine].sum())


def test_as_many_points_as_clusters_stay_where_they_are() -> None:
    points, weights = some(7)
    clustering = run(points, weights, 7)
    assert clustering.losses.min() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(np.sort(clustering.centers, axis=0), np.sort(points, axis=0))


def test_more_iterations_lower_the_loss() -> None:
    points, weights = some(500)
    one, many = (run(points, weights, 20, max_iter=limit).losses for limit in (1, 300))
    assert (many <= one + 1e-12).all()
    assert many.mean() < one.mean()


def test_points_without_weight_take_no_part() -> None:
    points, weights = some(100)
    stray = np.concatenate([points, points + 1e6])
    clustering = run(stray, np.concatenate([weights, np.zeros(100)]), 5)
    assert clustering.centers.max() < 100


def test_points_without_weight_fill_up_what_is_missing() -> None:
    points, _ = some(5)
    weights = np.array([3.0, 2.0, 0.0, 0.0, 0.0])
    clustering = run(points, weights, 4)
    assert clustering.centers.shape == (4, 3)
    assert np.isfinite(clustering.centers).all()
    assert clustering.losses.min() < 1e-6


def test_an_emptied_cluster_moves_to_the_farthest_weight() -> None:
    points = np.array([[0.0], [0.0], [0.0], [10.0], [11.0]])
    clustering = run(points, np.ones(5), 3, method="random", trials=50)
    assert (
        clustering.losses.max() <= 0.1 + 1e-9
    )  # every trial, however it began, ends with three used clusters


def test_a_loose_tolerance_ends_early_but_never_before_the_first_move() -> None:
    points, weights = some(500)
    loose = run(points, weights, 10, tol=1.0).losses
    start = run(points, weights, 10, tol=1.0, max_iter=1).losses
    np.testing.assert_allclose(loose, start)
