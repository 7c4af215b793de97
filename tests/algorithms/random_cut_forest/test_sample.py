from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.random_cut_forest.sample import KeyedRows, Sample
from tests.algorithms.hosts import on_hosts


def number_rows(count: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)[:, None]


def absorb(sample: Sample, rows: np.ndarray, size: int = 100) -> KeyedRows:
    for start in range(0, len(rows), size):
        sample.absorb(rows[start : start + size])
    return sample.local()


def test_a_sample_that_holds_all_rows_keeps_their_order() -> None:
    rows = number_rows(500)
    np.testing.assert_array_equal(absorb(Sample(500, 1, 0, 0), rows).rows, rows)


def test_batches_change_nothing() -> None:
    rows = number_rows(5000)
    one, other = (absorb(Sample(70, 1, 3, 0), rows, size) for size in (5000, 13))
    assert len(one.rows) == 70
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.keys, other.keys)


def test_every_row_is_kept_as_often_as_any_other() -> None:
    runs, n, capacity = 1000, 60, 20
    counts = np.zeros(n)
    for seed in range(runs):
        counts[absorb(Sample(capacity, 1, seed, 0), number_rows(n), 7).rows[:, 0].astype(int)] += 1
    share = capacity / n
    squared = ((counts - runs * share) ** 2 / (runs * share * (1 - share))).sum() * (n - 1) / n
    assert 30 < squared < 100  # chi-square, 59 degrees of freedom: 0.1 % beyond either bound


def test_another_seed_or_host_draws_other_rows() -> None:
    samples = [
        absorb(Sample(50, 1, *which), number_rows(1000)).rows[:, 0] for which in ((0, 0), (1, 0), (0, 1))
    ]
    assert len(set(samples[0]) & set(samples[1])) < 15  # 2.5 expected
    assert len(set(samples[0]) & set(samples[2])) < 15


def test_memory_stays_within_twice_the_capacity() -> None:
    sample = Sample(100, 1, 0, 0)
    for start in range(0, 50_000, 50):
        sample.absorb(number_rows(50, start))
        assert sum(len(rows) for _, rows in sample._parts) < 250
    assert sample.local().rows_seen == 50_000


def test_a_saved_sample_goes_on_as_if_undisturbed() -> None:
    rows = number_rows(3000)
    whole = absorb(Sample(64, 1, 5, 0), rows)
    first = Sample(64, 1, 5, 0)
    absorb(first, rows[:1111])
    again = Sample(64, 1, 99, 0)
    again.load_state_dict(first.state_dict())
    absorb(first, rows[:500])  # what was saved is a copy
    end = absorb(again, rows[1111:])
    np.testing.assert_array_equal(end.rows, whole.rows)
    assert end.rows_seen == 3000


def test_uneven_shards_are_sampled_by_their_share() -> None:
    shares = [number_rows(90_000), number_rows(10_000, 90_000)]
    small = []
    for seed in range(5):

        def work(cluster, seed=seed):  # type: ignore[no-untyped-def]
            sample = Sample(4000, 1, seed, cluster.rank)
            absorb(sample, shares[cluster.rank], 1000)
            return sample.gather(cluster)

        one, other = on_hosts(2, work)
        np.testing.assert_array_equal(one.rows, other.rows)
        assert one.rows.shape == (4000, 1)
        assert one.rows_seen == 100_000
        small.append((one.rows >= 90_000).mean())
    assert np.mean(small) == pytest.approx(0.1, abs=0.01)


def test_hosts_that_hold_all_rows_give_them_in_order() -> None:
    def work(cluster):  # type: ignore[no-untyped-def]
        sample = Sample(100, 1, 0, cluster.rank)
        absorb(sample, number_rows(0 if cluster.rank == 1 else 40, 40 * cluster.rank))
        return sample.gather(cluster)

    for result in on_hosts(3, work):
        np.testing.assert_array_equal(result.rows, np.concatenate([number_rows(40), number_rows(40, 80)]))
