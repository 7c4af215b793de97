"""XGBoost's own collective among the processes of a job, introduced to each other by the job's cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from xgboost import collective
from xgboost.core import XGBoostError
from xgboost.tracker import RabitTracker

from optml.algorithms.cluster import Cluster

PATIENCE = 7200  # seconds that one process may be ahead of another; a frozen one is noticed by the cluster


@contextmanager
def communicator(cluster: Cluster) -> Iterator[None]:
    """Within, the library's sums run over all processes. The first one serves the tracker, at the address at
    which the others reach it."""
    if cluster.size == 1:
        yield
        return
    addresses = cluster.gather(np.frombuffer(cluster.leader.encode(), np.uint8))
    tracker, arguments = None, b""
    if cluster.rank == 0:
        tracker = RabitTracker(cluster.size, addresses[-1].tobytes().decode(), sortby="task")
        tracker.start()
        arguments = json.dumps(tracker.worker_args()).encode()
    shared_arguments = json.loads(cluster.broadcast(np.frombuffer(arguments, np.uint8)).tobytes())
    try:
        with collective.CommunicatorContext(
            **shared_arguments, dmlc_task_id=f"{cluster.rank:06}", dmlc_timeout=PATIENCE
        ):
            yield
        if tracker is not None:
            tracker.wait_for(60)
    finally:
        if tracker is not None:
            with suppress(XGBoostError):  # after an error the others are gone, and it complains
                tracker.free()


def total(values: np.ndarray) -> np.ndarray:
    """The sum over all processes; the values themselves where there is one."""
    if not collective.is_distributed():
        return values
    sums: np.ndarray = collective.allreduce(values, collective.Op.SUM).reshape(values.shape)
    return sums
