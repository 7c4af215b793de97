"""What the labels of neighbours say: the most frequent one, or their mean."""

from __future__ import annotations

import numpy as np


def majority(labels: np.ndarray, distances: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The most frequent label (q,) of neighbours (q, k), which come nearest first; of equally frequent ones
    that of the nearest neighbour, of equally near ones the smallest.

    distances: (q, k) that grow with the distance.   there: (q, k) bool, which of the neighbours were found.
    """
    ordered, runs, counts = _runs(labels, there)
    most = counts == counts.max(axis=1, keepdims=True)
    nearest = np.where(most, np.take_along_axis(distances, runs, axis=1), np.inf)
    winner = (most & (nearest == nearest.min(axis=1, keepdims=True))).argmax(axis=1)
    answers: np.ndarray = ordered[np.arange(len(ordered)), winner]
    return answers


def shares(labels: np.ndarray, there: np.ndarray) -> tuple[np.ma.MaskedArray, np.ma.MaskedArray]:
    """The labels of each query's neighbours (q, k), each once, and their shares of the votes, most first."""
    ordered, runs, counts = _runs(labels, there)
    order = np.lexsort((runs, -counts))
    counts = np.take_along_axis(counts, order, axis=1)
    none = counts == 0
    portions = (counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.ma.array(np.take_along_axis(ordered, order, axis=1), mask=none), np.ma.array(
        portions, mask=none
    )


def mean(labels: np.ndarray, there: np.ndarray) -> np.ndarray:
    """The mean (q,) float32 of the labels (q, k) of the neighbours that were found."""
    total = np.where(there, labels, 0).sum(axis=1, dtype=np.float64)
    means: np.ndarray = (total / there.sum(axis=1)).astype(np.float32)
    return means


def _runs(labels: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels in ascending order (q, k), each one's neighbour, and at the first of equal ones, which is the
    nearest, how many there are (else 0)."""
    labels = np.where(there, labels, np.inf)
    runs = np.argsort(labels, axis=1, kind="stable")
    ordered = np.take_along_axis(labels, runs, axis=1)
    first = np.ones(ordered.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    places = np.where(first, np.arange(ordered.shape[1]), ordered.shape[1])
    following = np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]  # the first at or after each place
    ends = np.concatenate([following[:, 1:], np.full((len(ordered), 1), ordered.shape[1])], axis=1)
    counts = np.where(first & np.isfinite(ordered), ends - np.arange(ordered.shape[1]), 0)
    return ordered, runs, counts
