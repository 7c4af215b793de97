"""First centers: drawn at random, or by k-means++.

Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007: each next center is a
point drawn with probability proportional to its weight times its squared distance to the nearest one so far.
With several candidates per draw the one that lowers the loss most is kept.
"""

from __future__ import annotations

import math

import numpy as np


def draw(rows: np.ndarray, count: int, method: str, rng: np.random.Generator) -> np.ndarray:
    """Choose `count` of the (n, d) rows as centers, by `random` or `kmeans++`: (count, d).

    Where there are fewer rows than that, all of them and then random duplicates.
    """
    if count > len(rows):
        extra = rng.integers(len(rows), size=count - len(rows))
        return np.concatenate([rows, rows[extra]])
    if method == "random":
        places = rng.choice(len(rows), size=count, replace=False)
        return np.asarray(rows[places])
    centered = rows - rows.mean(axis=0, dtype=np.float64).astype(rows.dtype)
    (places,) = plus_plus(centered, np.ones(len(rows)), count, 1, 2 + int(math.log(count)), rng)
    return np.asarray(rows[places])


def by_weight(weights: np.ndarray, count: int, trials: int, rng: np.random.Generator) -> np.ndarray:
    """For each trial `count` places out of (n,) positive weights, drawn by weight without replacement:
    (trials, count). The largest of log w + Gumbel noise are such a draw."""
    keys = np.log(weights) + rng.gumbel(size=(trials, len(weights)))
    return np.argpartition(-keys, count - 1, axis=1)[:, :count]


def plus_plus(
    points: np.ndarray,
    weights: np.ndarray,
    count: int,
    trials: int,
    candidates: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Weighted k-means++ over (n, d) points, several independent trials at once: places (trials, count).

    The points should lie around the origin: squared distances are taken by |p|^2 - 2 p.c + |c|^2.
    """
    lengths = np.square(points).sum(axis=1)  # (n,)
    nearest = np.full((trials, len(points)), np.inf, points.dtype)  # squared distance to the centers so far
    chances = np.broadcast_to(weights, nearest.shape)
    centers = np.empty((trials, count), np.int64)
    every = np.arange(trials)
    for step in range(count):
        picks = _pick(chances, 1 if step == 0 else candidates, rng)  # (t, l)
        squared = points[picks] @ points.T  # (t, l, n)
        squared *= -2
        squared += lengths
        squared += lengths[picks][..., None]
        np.put_along_axis(squared, picks[..., None], 0, axis=2)  # rounding must not draw a center twice
        np.clip(squared, 0, nearest[:, None], out=squared)
        best = (squared @ weights.astype(points.dtype)).argmin(axis=1)  # (t,)
        centers[:, step] = picks[every, best]
        nearest = squared[every, best]
        chances = nearest * weights
    return centers


def _pick(chances: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `count` places in each row of (t, n) chances, with replacement: (t, count)."""
    ladder = np.cumsum(chances, axis=1, dtype=np.float64)
    levels = rng.random((len(chances), count)) * ladder[:, -1:]
    picks = [np.searchsorted(rungs, level, side="right") for rungs, level in zip(ladder, levels, strict=True)]
    # Where all chances are 0 the points are used up, and any of them does as well.
    return np.where(
        ladder[:, -1:] > 0, np.minimum(picks, chances.shape[1] - 1), rng.integers(chances.shape[1])
    )
