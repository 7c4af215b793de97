"""Shrinking K weighted centers to k: weighted Lloyd from several starts, the best wins.

All trials run as one computation: their centers stand side by side in one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms.kmeans import seeding

SCORES = 1 << 21  # scores held at once: 16 MiB of float64


@dataclass(frozen=True, slots=True)
class Clustering:
    """centers: (k, d) float64.   weights: (k,) float64, what each took of the points' weight.
    losses: (trials,) weighted mean squared distances; the centers are those of the smallest."""

    centers: np.ndarray
    weights: np.ndarray
    losses: np.ndarray


def shrink(
    points: np.ndarray,
    weights: np.ndarray,
    k: int,
    *,
    method: str,
    trials: int,
    max_iter: int,
    tol: float,
    rng: np.random.Generator,
) -> Clustering:
    """Cluster (K, d) points of (K,) weights into k of their own, K >= k.

    Points of weight 0 take no part, unless fewer than k others are left.
    """
    heavy = weights > 0
    if heavy.sum() < k:
        heavy = np.ones_like(heavy)
        weights = np.maximum(weights, np.finfo(np.float64).tiny + 1e-9 * weights.sum())
    points, weights = points[heavy], weights[heavy]
    mean = weights @ points / weights.sum()
    points = points - mean
    if method == "random":
        starts = seeding.by_weight(weights, k, trials, rng)
    else:
        starts = seeding.plus_plus(points, weights, k, trials, 1, rng)
    centers, labels, losses = _lloyd(points, weights, points[starts], max_iter, tol)
    best = int(losses.argmin())
    return Clustering(centers[best] + mean, np.bincount(labels[best], weights=weights, minlength=k), losses)


def _lloyd(
    points: np.ndarray, weights: np.ndarray, centers: np.ndarray, max_iter: int, tol: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted Lloyd from (t, k, d) centers: centers, labels (t, n) and losses (t,) at the end of each trial.

    A trial ends when its loss falls by no more than `tol` of itself; the others go on without it.
    """
    centers = centers.copy()
    labels = np.empty((len(centers), len(points)), np.int64)
    losses = np.full(len(centers), np.inf)
    running = np.arange(len(centers))
    for iteration in range(max_iter + 1):
        labels[running], squared = _assign(points, centers[running])
        previous = losses[running]
        losses[running] = squared @ weights / weights.sum()
        if iteration:  # before the second loss there is none to compare with
            falling = previous - losses[running] > tol * previous
            running, squared = running[falling], squared[falling]
        if iteration == max_iter or not len(running):
            break
        centers[running] = _means(points, weights, labels[running], squared, centers.shape[1])
    return centers, labels, losses


def _assign(points: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest of the (t, k, d) centers in each trial: labels and squared distances, both (t, n)."""
    trials, k, _ = centers.shape
    lanes = centers.reshape(trials * k, -1)
    bias = 0.5 * np.square(lanes).sum(axis=1)
    labels = np.empty((len(points), trials), np.int64)
    smallest = np.empty((len(points), trials))
    step = max(1, SCORES // len(lanes))
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        scores = (bias - points[part] @ lanes.T).reshape(-1, trials, k)
        labels[part] = scores.argmin(axis=2)
        smallest[part] = np.take_along_axis(scores, labels[part][..., None], axis=2)[..., 0]
    squared = np.square(points).sum(axis=1)[:, None] + 2 * smallest
    return labels.T, np.maximum(squared, 0).T


def _means(
    points: np.ndarray, weights: np.ndarray, labels: np.ndarray, squared: np.ndarray, k: int
) -> np.ndarray:
    """Weighted means of the points of each label (t, n): (t, k, d). A cluster that was left empty moves to
    the point of the largest weighted distance."""
    trials, n = labels.shape
    columns = labels.T + k * np.arange(trials)  # (n, t): one column for each cluster of each trial
    members = csr_array(
        (np.repeat(weights, trials), columns.ravel(), np.arange(0, n * trials + 1, trials)),
        shape=(n, trials * k),
    )
    totals = members.sum(axis=0)
    means: np.ndarray = (members.T @ points) / np.where(totals > 0, totals, 1)[:, None]
    means = means.reshape(trials, k, -1)
    for trial in np.flatnonzero((totals.reshape(trials, k) == 0).any(axis=1)):
        empty = np.flatnonzero(totals.reshape(trials, k)[trial] == 0)
        means[trial, empty] = points[np.argsort(-squared[trial] * weights, kind="stable")[: len(empty)]]
    return means
