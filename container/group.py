"""What the container asks of a cluster, and the cluster of a job that is one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np

from optml.algorithms.cluster import Cluster
from optml.container.errors import Failure


class Group(Cluster, Protocol):
    """What the container itself asks of a cluster, beside the collectives that learners use."""

    def tell(self, failure: Failure) -> Failure:
        """Tell every process that the job has failed; returns the failure that was told first, with which
        all of them end."""

    def watched(self, alarm: Callable[[Exception], None]) -> AbstractContextManager[None]:
        """Within, for work whose collectives are a library's and can't be left: `alarm` is called, on a
        thread of its own, with the JobFailedError or PlatformError that a collective of ours would raise."""

    def close(self) -> None:
        """Come to a good end together; raises JobFailedError if another process did not."""


class Alone(Group):
    """The cluster of a job that is one process."""

    rank = 0
    size = 1
    local = 0
    processes = 1
    leader = "127.0.0.1"

    def __init__(self, host: str = "algo-1") -> None:
        self.host = host

    def all_sum(self, *arrays: np.ndarray) -> None:
        pass

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        return [array]

    def broadcast(self, array: np.ndarray, source: int = 0) -> np.ndarray:
        return array

    def sum_beside(self, tensor: Any) -> Callable[[], None]:
        return lambda: None

    def tell(self, failure: Failure) -> Failure:
        return failure

    def watched(self, alarm: Callable[[Exception], None]) -> AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        pass
