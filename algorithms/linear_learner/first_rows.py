"""The first rows, held back until the scaler has seen enough of them: then they are trained on in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms.cluster import Cluster
from optml.errors import UserError
from optml.formats.records import Records, concatenate


class FirstRows:
    """Batches of this host, one a step, and how many rows each host had in each step."""

    def __init__(self) -> None:
        self._batches: list[Records | None] = []
        self._sizes: list[np.ndarray] = []  # (hosts,) of each step

    def add(self, batch: Records | None, cluster: Cluster) -> None:
        self._batches.append(batch)
        size = np.array([0 if batch is None else len(batch)])
        self._sizes.append(np.concatenate(cluster.gather(size)))

    @property
    def rows(self) -> int:
        """Of all hosts."""
        return int(sum(sizes.sum() for sizes in self._sizes))

    def first(self, count: int, rank: int) -> list[Records]:
        """This host's share of the first `count` rows of all hosts, step by step and in order of rank."""
        parts = []
        before = 0
        for batch, sizes in zip(self._batches, self._sizes, strict=True):
            left = count - before - int(sizes[:rank].sum())
            if batch is not None and left > 0:
                parts.append(batch[:left])
            before += int(sizes.sum())
        return parts

    def steps(self) -> Iterator[Records | None]:
        """The batches in order, each let go when the next is asked for."""
        self._sizes.clear()
        self._batches.reverse()
        while self._batches:
            yield self._batches.pop()

    def state_dict(self) -> dict[str, np.ndarray]:
        batches = [batch for batch in self._batches if batch is not None]
        state = {"waiting_sizes": np.array(self._sizes)}
        lengths = [-1 if batch is None else len(batch) for batch in self._batches]
        return state | {"waiting_lengths": np.array(lengths)} | arrays(batches, "waiting")

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._sizes = list(np.array(state["waiting_sizes"]))
        lengths = state["waiting_lengths"].tolist()
        together = records(state, "waiting")
        self._batches = []
        start = 0
        for length in lengths:
            if length < 0 or together is None:
                self._batches.append(None)
                continue
            self._batches.append(together[start : start + length])
            start += length


def common_width(width: int | None, cluster: Cluster) -> int:
    """How many features the rows of all hosts have; None here: without rows. Raises UserError where hosts
    differ. A collective."""
    widths = np.concatenate(cluster.gather(np.array([width or 0])))
    if len(set(widths[widths > 0].tolist())) > 1:
        raise UserError(f"the hosts' records have different numbers of features: {widths.tolist()}")
    return int(widths.max())


def arrays(batches: list[Records], prefix: str) -> dict[str, np.ndarray]:
    """Features and labels of batches as named arrays, for a checkpoint; none for no batches."""
    if not batches:
        return {}
    whole = concatenate(batches)
    assert whole.labels is not None
    arrays_of_rows = {f"{prefix}_labels": whole.labels}
    if isinstance(whole.features, np.ndarray):
        return arrays_of_rows | {f"{prefix}_features": whole.features}
    values = whole.features
    return arrays_of_rows | {
        f"{prefix}_values": values.data,
        f"{prefix}_indices": values.indices,
        f"{prefix}_starts": values.indptr,
        f"{prefix}_width": np.array(values.shape[1]),
    }


def records(state: Mapping[str, np.ndarray], prefix: str) -> Records | None:
    """What `arrays` made arrays of; None where there were no batches."""
    labels = state.get(f"{prefix}_labels")
    if labels is None:
        return None
    if f"{prefix}_features" in state:
        return Records(np.array(state[f"{prefix}_features"]), np.array(labels))
    parts = tuple(np.array(state[f"{prefix}_{name}"]) for name in ("values", "indices", "starts"))
    shape = (len(labels), int(state[f"{prefix}_width"]))
    return Records(csr_array(parts, shape=shape), np.array(labels))
