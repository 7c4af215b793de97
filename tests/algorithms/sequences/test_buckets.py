"""Buckets as Sockeye lays them, and every pair once an epoch."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.sequences import buckets


@pytest.mark.parametrize(
    ("longest", "width", "ratio", "expected"),
    [
        ((50, 50), 0, 1.0, [(50, 50)]),
        ((25, 25), 10, 1.0, [(10, 10), (20, 20), (25, 25)]),
        # The target is twice as long: the source steps by half; its list is shorter here, so its end repeats.
        ((10, 30), 10, 2.0, [(5, 10), (10, 20), (10, 30)]),
        ((30, 10), 10, 0.5, [(10, 5), (20, 10), (30, 10)]),
        ((3, 3), 1, 1.0, [(2, 2), (3, 3)]),
        ((20, 20), 10, 100.0, [(2, 10), *[(2, 20)], *[(n, 20) for n in range(3, 21)]]),
    ],
)
def test_the_longer_side_steps_by_the_width(
    longest: tuple[int, int], width: int, ratio: float, expected: list[tuple[int, int]]
) -> None:
    assert buckets.parallel(longest, width, ratio) == expected


def test_a_pair_goes_into_the_first_bucket_that_holds_both() -> None:
    ends = buckets.parallel((25, 25), 10)
    first, second = np.array([1, 10, 11, 3, 26]), np.array([1, 10, 2, 25, 1])
    assert buckets.assign(first, second, ends).tolist() == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("seed", [None, 0])
def test_every_pair_is_in_one_batch_with_others_of_its_bucket(seed: int | None) -> None:
    places = np.random.default_rng(1).integers(0, 4, 103)

    def epoch() -> list[np.ndarray]:
        generator = None if seed is None else np.random.default_rng(seed)
        order = np.random.default_rng(2).permutation(103)
        return list(buckets.batches(order, places, 10, generator))

    found = epoch()
    assert sorted(np.concatenate(found).tolist()) == list(range(103))
    assert all(len(set(places[rows].tolist())) == 1 for rows in found)
    assert [rows.tolist() for rows in found] == [rows.tolist() for rows in epoch()]
    by_bucket = [int(places[rows[0]]) for rows in found]
    assert (by_bucket == sorted(by_bucket)) == (seed is None)


def test_no_pairs_make_no_batches() -> None:
    none = np.empty(0, np.int64)
    assert list(buckets.batches(none, none, 10, np.random.default_rng(0))) == []


def test_buckets_are_told_of_as_aws_tells_of_them() -> None:
    places = np.zeros(250000, np.int64)
    lengths = np.full(250000, 22)
    (line,) = buckets.describe([(50, 50)], places, lengths, lengths, 512)
    assert line == ("Bucket of (50, 50) : 250000 samples in 489 batches of 512, approx 22494.9 words/batch")
