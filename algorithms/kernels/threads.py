"""Work on runs of rows, shared out among threads; each calls a BLAS that is held to one thread meanwhile:
BLAS's own threads would wait for one another in each small product, and spin after it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

ALONE = 1 << 20  # multiply-adds that are not worth waking another thread for

Part = TypeVar("Part")


def in_parts(work: Callable[[int, int], Part], rows: int, size: int) -> list[Part]:
    """Do `work(start, stop)` over runs of the rows, on as many threads as BLAS would have used itself; what
    each returns, in the order of the rows. `size`: multiply-adds of one row."""
    threads = count()
    with _blas().limit(limits=1):
        if threads == 1 or rows * size < ALONE:
            return [work(0, rows)]
        edges = [rows * thread // threads for thread in range(threads + 1)]
        others = [_pool(threads).submit(work, *run) for run in pairwise(edges[1:])]
        return [work(0, edges[1]), *(other.result() for other in others)]


def count() -> int:
    """The threads that BLAS would use itself."""
    return max((library["num_threads"] for library in _blas().info()), default=1)


@cache
def _blas() -> Any:
    import scipy.linalg.cython_blas  # noqa: F401  the BLAS that compiled functions call: it must be held too
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads - 1, thread_name_prefix="kernel")
