"""Pairs of sequences grouped by their lengths, so that a batch is padded by little.

Buckets are laid as Sockeye lays them (Hieber et al., "Sockeye: A Toolkit for Neural Machine Translation",
2017, arXiv 1712.05690): of the two sides the longer steps by the bucket width, the other in proportion.
Batches are never filled up with copies of other pairs, so that means over an epoch are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

Bucket: TypeAlias = tuple[int, int]  # the longest sequences of both sides


def parallel(longest: Bucket, width: int, ratio: float = 1.0, least: int = 2) -> list[Bucket]:
    """The buckets, ascending on both sides, up to the longest sequences.

    width: 0: one bucket of the longest.   ratio: mean of (second length / first length).   least: no side
    of a bucket is shorter.
    """
    if width == 0:
        return [longest]
    steps = (max(1, int(width / ratio)), width) if ratio >= 1 else (width, max(1, int(width * ratio)))
    sides = [_ends(most, step) for most, step in zip(longest, steps, strict=True)]
    count = max(map(len, sides))
    first, second = (
        [max(least, end) for end in side] + [max(least, side[-1])] * (count - len(side)) for side in sides
    )
    return list(dict.fromkeys(zip(first, second, strict=True)))


def _ends(most: int, step: int) -> list[int]:
    """step, 2 step, ... most."""
    return [*range(step, most, step), most]


def assign(first: np.ndarray, second: np.ndarray, buckets: Sequence[Bucket]) -> np.ndarray:
    """(n,) int64, for pairs of these lengths (n,) the number of the first bucket that holds both;
    len(buckets) where none does."""
    ends = np.array(buckets, np.int64)
    found: np.ndarray = np.maximum(np.searchsorted(ends[:, 0], first), np.searchsorted(ends[:, 1], second))
    return found


def batches(
    order: np.ndarray, places: np.ndarray, size: int, generator: np.random.Generator | None = None
) -> Iterator[np.ndarray]:
    """Numbers of pairs (m,) int64, m <= size, of one bucket each; every pair once.

    order: (n,) int64, the numbers of all pairs in the order in which those of a bucket come.
    places: (n,) bucket of each pair.   generator: shuffles the batches; None: they come bucket by bucket.
    """
    order = order[np.argsort(places[order], kind="stable")]
    ends = np.flatnonzero(np.diff(places[order])) + 1
    runs: list[tuple[int, int]] = []
    for begin, end in zip([0, *ends.tolist()], [*ends.tolist(), len(order)], strict=True):
        runs += [(at, min(at + size, end)) for at in range(begin, end, size)]
    turns = range(len(runs)) if generator is None else generator.permutation(len(runs)).tolist()
    for turn in turns:
        yield order[slice(*runs[turn])]


def describe(
    buckets: Sequence[Bucket], places: np.ndarray, first: np.ndarray, second: np.ndarray, size: int
) -> Iterator[str]:
    """Lines about the buckets that hold pairs, as AWS's images print them. first, second: lengths (n,)."""
    counts = np.bincount(places, minlength=len(buckets))
    words = np.bincount(places, weights=first + second, minlength=len(buckets))
    for bucket, count, total in zip(buckets, counts.tolist(), words.tolist(), strict=False):
        if count:
            batches = -(-count // size)
            yield (
                f"Bucket of {bucket} : {count} samples in {batches} batches of {size}, approx "
                f"{round(total / batches, 1)} words/batch"
            )
