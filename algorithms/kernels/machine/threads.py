"""Work on runs of rows, shared out among threads; what calls a BLAS has it held to one thread meanwhile:
BLAS's own threads would wait for one another in each small product, and spin after it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

ALONE = 1 << 20  # multiply-adds that are not worth waking another thread for

Part = TypeVar("Part")


def in_parts(work: Callable[[int, int], Part], rows: int, size: int, *, blas: bool = True) -> list[Part]:
    """Do `work(start, stop)` over runs of the rows, on as many threads as BLAS would have used itself; what
    each returns, in the order of the rows. size: multiply-adds of one row. blas: may the work call it?"""
    if blas:
        _hold()
    try:
        if rows * size < ALONE or (threads := count()) == 1:
            return [work(0, rows)]
        edges = [rows * thread // threads for thread in range(threads + 1)]
        results: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
        for place, run in enumerate(pairwise(edges[1:]), 1):
            _tasks(threads).put((work, run, place, results))
        try:
            parts: list[Any] = [work(0, edges[1])] * threads
        finally:  # nobody else may write to what the caller owns once this has returned
            others = [results.get() for _ in range(threads - 1)]
        for place, part, error in others:
            if error is not None:
                raise error
            parts[place] = part
        return parts
    finally:
        if blas:
            _release()


def count() -> int:
    """The threads that BLAS would use itself."""
    with _turn:
        return max(_before if _holders else _threads(), default=1)


# Several threads may be at it at once, and the last one leaves BLAS as the first one found it.
_turn = Lock()
_holders = 0
_before: list[int] = []


def _hold() -> None:
    """Hold BLAS to one thread."""
    global _holders, _before
    with _turn:
        if not _holders:
            _before = _threads()
            for library in _blas():
                library.set_num_threads(1)
        _holders += 1


def _release() -> None:
    global _holders
    with _turn:
        _holders -= 1
        if not _holders:
            for library, number in zip(_blas(), _before, strict=True):
                library.set_num_threads(number)


def _threads() -> list[int]:
    return [library.get_num_threads() for library in _blas()]


@cache
def _blas() -> list[Any]:
    import scipy.linalg.cython_blas  # noqa: F401  the BLAS that compiled functions call: it must be held too
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@cache
def _tasks(threads: int) -> SimpleQueue[Any]:
    """Where threads of this process wait for work. A queue wakes them in half the time of an executor."""
    tasks: SimpleQueue[Any] = SimpleQueue()
    for number in range(1, threads):
        Thread(target=_serve, args=(tasks,), name=f"kernel-{number}", daemon=True).start()
    return tasks


def _serve(tasks: SimpleQueue[Any]) -> None:
    while True:
        work, run, place, results = tasks.get()
        try:
            results.put((place, work(*run), None))
        except BaseException as error:  # raised where the work was shared out
            results.put((place, None, error))
        del work, results
