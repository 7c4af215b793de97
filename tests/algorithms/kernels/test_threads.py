from __future__ import annotations

from threading import Barrier, Thread

import pytest

from optml.algorithms.kernels.machine import threads


class Library:
    """Stands for BLAS."""

    def __init__(self) -> None:
        self.threads = 4

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, number: int) -> None:
        self.threads = number


def test_callers_that_overlap_leave_blas_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(threads, "_blas", lambda: [library])
    both, first_has_ended = Barrier(2), Barrier(2)
    counts: list[int] = []

    def first(start: int, stop: int) -> None:
        both.wait(10)

    def second(start: int, stop: int) -> None:
        both.wait(10)
        first_has_ended.wait(10)
        counts.extend([threads.count(), library.threads])

    other = Thread(target=threads.in_parts, args=(second, 1, 1))
    other.start()
    threads.in_parts(first, 1, 1)
    first_has_ended.wait(10)
    other.join()
    assert counts == [4, 1]  # the second still holds it
    assert library.threads == 4


def test_parts_come_in_the_order_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "count", lambda: 3)
    monkeypatch.setattr(threads, "ALONE", 0)
    assert threads.in_parts(lambda start, stop: (start, stop), 10, 1) == [(0, 3), (3, 6), (6, 10)]


def test_what_a_part_raises_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "count", lambda: 2)
    monkeypatch.setattr(threads, "ALONE", 0)

    def work(start: int, stop: int) -> None:
        if start:
            raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"):
        threads.in_parts(work, 4, 1)
