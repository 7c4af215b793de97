"""The processes of one job, as a learner knows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, Protocol

import numpy as np

from optml.errors import UserError


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


def agreed_columns(names: Sequence[str] | None, cluster: Cluster) -> tuple[str, ...] | None:
    """The names of a table's columns on all hosts, of which each knows those of its own files; None: no file
    names any. A collective. Raises UserError naming the column where the orders differ."""
    mine = json.dumps(names or ()).encode()
    texts = cluster.gather(np.frombuffer(mine, np.uint8).copy())
    orders = [order for text in texts if (order := tuple(json.loads(text.tobytes())))]
    for order in orders[1:]:
        if order != orders[0]:
            place, name, other = difference(orders[0], order)
            raise UserError(
                f"column {place + 1} is '{name}' in the files of one host and '{other}' in those of another: "
                "give the files of all hosts the same columns in the same order"
            )
    return orders[0] if orders else None


def difference(names: Sequence[str], others: Sequence[str]) -> tuple[int, str, str]:
    """The first place where two lists of names differ, and what stands there."""
    pairs = enumerate(zip_longest(names, others, fillvalue="(none)"))
    return next((place, *pair) for place, pair in pairs if pair[0] != pair[1])
