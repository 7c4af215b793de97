"""Rows of the channel train, to choose a model by where there is no channel validation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from optml.algorithms.linear_learner.first_rows import arrays, records
from optml.formats.records import Records

ROWS = 100_000
BYTES = 64 << 20  # of their features; a sparse value counts 8, with its index


class TrainSample:
    """The first rows of this host, as many as ROWS (or `most`, if fewer) and BYTES allow."""

    def __init__(self, most: int) -> None:
        self.batches: list[Records] = []
        self._room = [min(most, ROWS), BYTES]  # rows and bytes that are left

    def add(self, batch: Records) -> None:
        """Take in as many of its rows as there is room for."""
        rows, room = self._room
        sparse = not isinstance(batch.features, np.ndarray)
        size = 8 * batch.features.nnz if sparse else batch.features.nbytes
        fits = min(rows, len(batch) if size <= room else len(batch) * room // size)
        if fits > 0:
            self.batches.append(batch[:fits])
        self._room = [rows - max(fits, 0), room - size]

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"sample_room": np.array(self._room)} | arrays(self.batches, "sample")

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._room = state["sample_room"].tolist()
        whole = records(state, "sample")
        self.batches = [] if whole is None else [whole]
