"""A cluster for tests of learners: hosts that are threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")


class _Thread:
    def __init__(
        self, rank: int, places: list[np.ndarray], barrier: threading.Barrier, processes: int
    ) -> None:
        self.rank = rank
        self.size = len(places)
        self.local = rank % processes
        self.processes = processes
        self.host = f"algo-{rank + 1}"
        self._places = places
        self._barrier = barrier

    def all_sum(self, *arrays: np.ndarray) -> None:
        for array in arrays:
            array[...] = sum(self.gather(array))

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        self._places[self.rank] = array.copy()
        self._barrier.wait(30)
        everything = list(self._places)
        self._barrier.wait(30)
        return everything

    def sum_beside(self, tensor: Any) -> Callable[[], None]:
        summed = sum(self.gather(tensor.cpu().numpy()))
        tensor.copy_(tensor.new_tensor(summed))
        return lambda: None

    def broadcast(self, array: np.ndarray, source: int = 0) -> np.ndarray:
        return self.gather(array)[source]


def on_hosts(size: int, work: Callable[[_Thread], Result], processes: int = 1) -> list[Result]:
    """What `work(cluster)` returns on each of `size` processes, so many on each host; the first failure is
    raised."""
    places: list[np.ndarray] = [np.empty(0)] * size
    barrier = threading.Barrier(size)
    results: list[Result | BaseException] = [RuntimeError("did not run")] * size

    def run(rank: int) -> None:
        try:
            results[rank] = work(_Thread(rank, places, barrier, processes))
        except BaseException as error:
            results[rank] = error
            barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finished = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        finished.append(result)
    return finished
