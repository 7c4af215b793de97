from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.knn.sample import Reservoir, Sample, _shares
from optml.errors import UserError
from tests.algorithms.hosts import _Thread, on_hosts


def stream(reservoir: Reservoir, numbers: np.ndarray, size: int = 10) -> Reservoir:
    """Rows (number,) with the label 2 * number at the position of that number."""
    for start in range(0, len(numbers), size):
        part = numbers[start : start + size]
        rows = part[:, None].astype(np.float32)
        reservoir.absorb(rows, 2 * part.astype(np.float32), part, lambda rows: rows)
    return reservoir


def numbers_of(sample: Sample | None) -> list[int]:
    assert sample is not None
    np.testing.assert_array_equal(sample.labels, 2 * sample.rows[:, 0])
    return sample.rows[:, 0].astype(int).tolist()


def test_a_sample_larger_than_the_data_is_the_data_in_order() -> None:
    assert numbers_of(stream(Reservoir(10**9, 0, 0), np.arange(57)).sample()) == list(range(57))


def test_a_sample_keeps_its_size_and_the_order_of_the_rows() -> None:
    numbers = numbers_of(stream(Reservoir(20, 0, 0), np.arange(500)).sample())
    assert len(numbers) == len(set(numbers)) == 20
    assert numbers == sorted(numbers)


def test_every_row_is_as_likely_as_any_other() -> None:
    times = np.zeros(60)
    for seed in range(1500):
        times[numbers_of(stream(Reservoir(20, seed, 0), np.arange(60)).sample())] += 1
    # Each is binomial (1500, 1/3): mean 500, deviation 18.3; 60 of them stay within 4.5 deviations.
    assert np.abs(times - 500).max() < 82


def test_the_seed_decides() -> None:
    first, again, other = (
        numbers_of(stream(Reservoir(9, seed, 0), np.arange(99)).sample()) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_only_what_is_kept_is_prepared() -> None:
    sizes = []

    def prepare(rows: np.ndarray) -> np.ndarray:
        sizes.append(len(rows))
        return rows

    reservoir = Reservoir(10, 0, 0)
    for start in range(0, 10_000, 100):
        rows = np.zeros((100, 1), np.float32)
        reservoir.absorb(rows, rows[:, 0], np.arange(start, start + 100), prepare)
    # Row t is taken with probability 10 / (t + 1): 79 are expected, with a deviation of 8.
    assert 45 < sum(sizes) < 115


def test_a_state_goes_on_as_if_undisturbed() -> None:
    whole = stream(Reservoir(15, 7, 0), np.arange(200))
    first = stream(Reservoir(15, 7, 0), np.arange(100))
    second = Reservoir(15, 99, 0)
    second.load_state_dict(first.state_dict())
    stream(first, np.arange(100, 200))  # what was saved is a copy
    assert numbers_of(stream(second, np.arange(100, 200)).sample()) == numbers_of(whole.sample())


def gather_numbers(capacity: int, counts: list[int], seed: int = 0) -> list[int]:
    """What hosts that saw so many rows keep together; all hosts have the same."""
    edges = np.cumsum([0, *counts])

    def work(cluster: _Thread) -> list[int]:
        mine = np.arange(edges[cluster.rank], edges[cluster.rank + 1])
        sample = stream(Reservoir(capacity, seed, cluster.rank), mine).gather(cluster)
        assert sample is None or sample.rows_seen == sum(counts)
        return [] if sample is None else numbers_of(sample)

    results = on_hosts(len(counts), work)
    assert all(result == results[0] for result in results)
    return results[0]


def test_hosts_keep_all_rows_where_they_fit_in() -> None:
    assert gather_numbers(100, [30, 0, 12]) == list(range(42))


def test_hosts_give_as_the_rows_that_they_saw() -> None:
    times = np.zeros(80)
    for seed in range(600):
        numbers = gather_numbers(20, [60, 20], seed)
        assert len(numbers) == 20
        times[numbers] += 1
    # Each is binomial (600, 1/4): mean 150, deviation 10.6; 80 of them stay within 4.5 deviations.
    assert np.abs(times - 150).max() < 48


def test_hosts_without_any_rows_have_no_sample() -> None:
    assert gather_numbers(5, [0, 0]) == []


def test_what_no_memory_holds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optml.memory.available", lambda device: 10_000)
    with pytest.raises(UserError, match=r"sample_size is 5000: its first 800 rows of 1 numbers take"):
        stream(Reservoir(5000, 0, 0), np.arange(800), 800)


def test_more_rows_than_numpy_draws_from_are_shared_by_their_numbers() -> None:
    counts = np.array([3 * 10**9, 0, 10**9])
    shares = _shares(np.random.default_rng(0), counts, 10_000)
    assert shares.sum() == 10_000
    assert shares[1] == 0
    assert shares[0] == pytest.approx(7500, abs=4 * np.sqrt(10_000 * 3 / 16))  # standard deviations
