from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.ip_insights.sampling import Samples, expand


def block(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n, dtype=np.uint32), 1000 + np.arange(n, dtype=np.uint32)


def pairs(samples: Samples, label: int) -> list[tuple[int, int]]:
    chosen = samples.labels == label
    return list(zip(samples.rows[chosen].tolist(), samples.addresses[chosen].tolist(), strict=True))


@given(st.integers(1, 50), st.integers(0, 4), st.integers(0, 4))
def test_every_pair_is_there_once_and_its_entity_as_often_as_asked(
    n: int, random: int, shuffled: int
) -> None:
    rows, addresses = block(n)
    samples = expand(rows, addresses, random, shuffled, (0,))
    assert len(samples) == n * (1 + random + shuffled)
    assert sorted(pairs(samples, 1)) == list(zip(rows.tolist(), addresses.tolist(), strict=True))
    negative = pairs(samples, 0)
    assert Counter(row for row, _ in negative) == Counter(dict.fromkeys(rows.tolist(), random + shuffled))
    # A shuffled copy permutes the addresses of the block; a random one is hardly ever among them.
    known = Counter(address for _, address in negative if 1000 <= address < 1000 + n)
    assert known == Counter(dict.fromkeys(addresses.tolist(), shuffled) if shuffled else {})


def test_random_addresses_are_uniform_in_every_octet() -> None:
    samples = expand(*block(20_000), 5, 0, (0,))
    octets = samples.addresses[samples.labels == 0].view(np.uint8).reshape(-1, 4)
    for column in octets.T:
        counts = np.bincount(column, minlength=256)
        assert ((counts - 390.6) ** 2 / 390.6).sum() < 350  # chi square of 255 degrees: one in 10,000


def test_shuffled_copies_are_not_alike_and_positives_lie_anywhere() -> None:
    samples = expand(*block(1000), 0, 2, (0,))
    assert len(set(pairs(samples, 0))) > 1980
    assert 0.3 < samples.labels[:1500].mean() < 0.37


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_epochs_blocks_and_hosts_have_negatives_of_their_own(other: tuple[int, int, int]) -> None:
    first, again, new = (expand(*block(100), 2, 1, seed) for seed in ((0, 0, 0), (0, 0, 0), other))
    np.testing.assert_array_equal(first.addresses, again.addresses)
    np.testing.assert_array_equal(first.rows, again.rows)
    assert set(pairs(first, 0)).isdisjoint(pair for pair in pairs(new, 0) if pair[1] >= 2000)


@pytest.mark.parametrize(
    ("random", "shuffled", "teaching"), [(1, 1, 0), (1, 2, 0), (5, 1, 5), (3, 0, 3), (0, 3, 0)]
)
def test_random_addresses_teach_short_prefixes_only_where_they_outnumber_shuffled_ones(
    random: int, shuffled: int, teaching: int
) -> None:
    samples = expand(*block(100), random, shuffled, (0,))
    ours = (samples.addresses >= 1000) & (samples.addresses < 1100)
    assert samples.teaching[ours].all()
    assert samples.teaching[~ours].sum() == 100 * teaching
    assert samples[:7].teaching.tolist() == samples.teaching[:7].tolist()
