from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.machine.replica import Replicas, claim, share


def table() -> np.ndarray:
    rows = simd.empty(5, 20)
    rows[:] = np.arange(5)[:, None]
    return rows


def test_one_thread_works_on_the_table_itself() -> None:
    rows = table()
    view = Replicas(rows, 1).view(0)
    assert claim(*view, 3) == 3
    assert view[1] is rows


@pytest.mark.parametrize(("threads", "strength", "distance"), [(2, 0.0, 4.0), (2, 50.0, 2.0), (8, 50.0, 2.0)])
def test_a_way_that_all_threads_took_adds_up_in_a_rare_row_and_is_averaged_in_a_frequent_one(
    threads: int, strength: float, distance: float
) -> None:
    rows = table()
    replicas = Replicas(rows, threads)
    for thread in range(threads):
        change(replicas, thread, 2.0, strength)
    replicas.merge()
    np.testing.assert_allclose(rows[3], 3 + distance, rtol=1e-6)
    assert (rows[[0, 1, 2, 4]] == table()[[0, 1, 2, 4]]).all()


def test_ways_of_different_directions_add_up_in_every_row() -> None:
    rows = table()
    replicas = Replicas(rows, 2)
    one = np.zeros(simd.stride(20), np.float32)
    one[:10] = 1
    change(replicas, 0, one, 50.0)
    change(replicas, 1, 1 - one, 50.0)
    replicas.merge()
    np.testing.assert_allclose(rows[3], 4, rtol=1e-6)


def change(replicas: Replicas, thread: int, by: float | np.ndarray, strength: float) -> None:
    view = replicas.view(thread)
    slot = claim(*view, 3)
    view[1][slot] += by
    view[3][slot] += strength


def test_a_row_that_one_thread_touched_is_its_copy_and_is_copied_anew_afterwards() -> None:
    rows = table()
    replicas = Replicas(rows, 2)
    for _ in range(2):
        view = replicas.view(1)
        slot = claim(*view, 2)
        assert claim(*view, 2) == slot
        view[1][slot] += 1
        replicas.merge()
    assert (rows[2] == 4).all()


def test_the_share_is_that_of_one_thread_after_the_other() -> None:
    left = np.exp(-0.7)
    assert share(np.float32(0.7), 4) == pytest.approx((1 - left**4) / (4 * (1 - left)), rel=1e-6)
