"""The processes of one job, as a learner knows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np


class Cluster(Protocol):
    """The hosts (or processes) of one job. Collectives must be called by all of them in the same order."""

    rank: int
    size: int
    local: int  # place of this process among those of its host, which share its files
    processes: int  # of each host
    host: str  # as log lines print it: "algo-1"
    leader: str  # the address at which this process reaches the first one

    def all_sum(self, *arrays: np.ndarray) -> None:
        """Replace each array (any numeric dtype, C-contiguous) by its sum over the hosts, in place."""

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        """Every host's array, in rank order, on every host; first dimensions and dtype kinds may differ."""

    def broadcast(self, array: np.ndarray, source: int = 0) -> np.ndarray:
        """The array of `source`, on every host; shapes elsewhere are ignored."""

    def sum_beside(self, tensor: Any) -> Callable[[], None]:
        """Begin to add a contiguous torch tensor up over the hosts, in place, on the learner's device and
        beside other work. What is returned waits until the sum is there."""


def share(distribution: str, cluster: Cluster) -> tuple[int, int]:
    """(r, n) of a channel of this S3DistributionType: this process is the r-th of the n that have the same
    files, and deal out what is in them. Of a replicated channel these are all processes of the job; of a
    sharded one those of a host. Which of the shards it is: `cluster.rank // n`."""
    if distribution == "FullyReplicated":
        return cluster.rank, cluster.size
    return cluster.local, cluster.processes
