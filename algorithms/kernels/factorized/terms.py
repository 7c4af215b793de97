"""What the paths of this operation share: its terms and constants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

BETA1, BETA2 = 0.9, 0.999

TALLIES = 9


@dataclass(slots=True)
class FactorState:
    """What is learned, with Adam's moments; updated in place. Places beyond those in use are undefined.

    rows, means, squares: (c, k + 1) float32, c places.   bias: (3,) float64: w0, its mean and square.
    """

    rows: Array
    means: Array
    squares: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class View:
    """`e` entries of `n` sparse rows, in which `u` features occur; places are those of the features' rows.

    By row:      starts (n + 1,) int32, where each row's entries begin; places, values (e,) int32, float32.
    By feature:  touched (u,) int32, the places that occur, each once; bounds (u + 1,) int32, where each one's
                 entries begin; rows, column (e,) int32, float32: the row and the value of each entry.
    """

    starts: Array
    places: Array
    values: Array
    distinct: Array
    bounds: Array
    rows: Array
    column: Array

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, starts: np.ndarray, places: np.ndarray, values: np.ndarray) -> View:
        """By sorting; `places.Places.view` comes to the same in one compiled pass."""
        distinct, turns, counts = np.unique(places, return_inverse=True, return_counts=True)
        order = np.argsort(turns, kind="stable")
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))[order]
        bounds = np.cumsum([0, *counts.tolist()])
        first, second = starts.astype(np.int32), places.astype(np.int32)
        columns = distinct.astype(np.int32), bounds.astype(np.int32), rows.astype(np.int32)
        return cls(first, second, values, *columns, values[order])


@dataclass(frozen=True, slots=True)
class Step:
    """The numbers of one step of Adam.

    rates, decays: of factors, weights, bias; the rates hold the correction of step t.
    clip:          infinity where gradients are not clipped.
    """

    rates: tuple[float, float, float]
    decays: tuple[float, float, float]
    rescale: float
    clip: float
    epsilon: float

    @classmethod
    def number(
        cls,
        t: int,
        rates: tuple[float, float, float],
        decays: tuple[float, float, float],
        *,
        rescale: float,
        clip: float,
        epsilon: float,
    ) -> Step:
        """Step t = 1, 2, ..."""
        scale = math.sqrt(1 - BETA2**t) / (1 - BETA1**t)
        factors, weights, bias = rates
        return cls((scale * factors, scale * weights, scale * bias), decays, rescale, clip, epsilon)


@dataclass(frozen=True, slots=True)
class Forward:
    """A batch. sums: (n, k), s of each row.   scores, slopes: (n,); float32.   tallies: (9,) float64."""

    sums: Array
    scores: Array
    slopes: Array
    tallies: Array
