from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.random_cut_forest.sample import Drawn, Sample
from tests.algorithms.hosts import on_hosts


def numbered(count: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.float32)[:, None]


def drawn(sample: Sample, rows: np.ndarray, size: int = 100) -> Drawn:
    for start in range(0, len(rows), size):
        sample.absorb(rows[start : start + size])
    return sample.held()


def test_a_sample_that_holds_all_rows_keeps_their_order() -> None:
    rows = numbered(500)
    np.testing.assert_array_equal(drawn(Sample(500, 1, 0, 0), rows).rows, rows)


def test_batches_change_nothing() -> None:
    rows = numbered(5000)
    one, other = (drawn(Sample(70, 1, 3, 0), rows, size) for size in (5000, 13))
    assert len(one.rows) == 70
    np.testing.assert_array_equal(one.rows, other.rows)
    np.testing.assert_array_equal(one.keys, other.keys)


def test_every_row_is_kept_as_often_as_any_other() -> None:
    runs, n, capacity = 1000, 60, 20
    counts = np.zeros(n)
    for seed in range(runs):
        counts[drawn(Sample(capacity, 1, seed, 0), numbered(n), 7).rows[:, 0].astype(int)] += 1
    share = capacity / n
    squared = ((counts - runs * share) ** 2 / (runs * share * (1 - share))).sum() * (n - 1) / n
    assert 30 < squared < 100  # chi-square, 59 degrees of freedom: 0.1 % beyond either bound


def test_another_seed_or_host_draws_other_rows() -> None:
    kept = [drawn(Sample(50, 1, *which), numbered(1000)).rows[:, 0] for which in ((0, 0), (1, 0), (0, 1))]
    assert len(set(kept[0]) & set(kept[1])) < 15  # 2.5 expected
    assert len(set(kept[0]) & set(kept[2])) < 15


def test_memory_stays_within_twice_the_capacity() -> None:
    sample = Sample(100, 1, 0, 0)
    for start in range(0, 50_000, 50):
        sample.absorb(numbered(50, start))
        assert sum(len(rows) for _, rows in sample._parts) < 250
    assert sample.held().seen == 50_000


def test_a_saved_sample_goes_on_as_if_undisturbed() -> None:
    rows = numbered(3000)
    whole = drawn(Sample(64, 1, 5, 0), rows)
    first = Sample(64, 1, 5, 0)
    drawn(first, rows[:1111])
    again = Sample(64, 1, 99, 0)
    again.load_state_dict(first.state_dict())
    drawn(first, rows[:500])  # what was saved is a copy
    end = drawn(again, rows[1111:])
    np.testing.assert_array_equal(end.rows, whole.rows)
    assert end.seen == 3000


def test_uneven_shards_are_sampled_by_their_share() -> None:
    shares = [numbered(90_000), numbered(10_000, 90_000)]
    small = []
    for seed in range(5):

        def work(cluster, seed=seed):  # type: ignore[no-untyped-def]
            sample = Sample(4000, 1, seed, cluster.rank)
            drawn(sample, shares[cluster.rank], 1000)
            return sample.gather(cluster)

        one, other = on_hosts(2, work)
        np.testing.assert_array_equal(one.rows, other.rows)
        assert one.rows.shape == (4000, 1)
        assert one.seen == 100_000
        small.append((one.rows >= 90_000).mean())
    assert np.mean(small) == pytest.approx(0.1, abs=0.01)


def test_hosts_that_hold_all_rows_give_them_in_order() -> None:
    def work(cluster):  # type: ignore[no-untyped-def]
        sample = Sample(100, 1, 0, cluster.rank)
        drawn(sample, numbered(0 if cluster.rank == 1 else 40, 40 * cluster.rank))
        return sample.gather(cluster)

    for result in on_hosts(3, work):
        np.testing.assert_array_equal(result.rows, np.concatenate([numbered(40), numbered(40, 80)]))
