"""What is learned: a row for every feature that has occurred, on the device that trains."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from optml import memory
from optml.algorithms.device import Device, host
from optml.algorithms.factorization_machines.initial import Initial
from optml.algorithms.kernels.factorized.terms import Array, FactorState, View
from optml.errors import UserError

if TYPE_CHECKING:
    from optml.algorithms.kernels.factorized.places import Places

log = logging.getLogger(__name__)

SMALLEST = 1 << 10  # rows that there is room for at least
WHOLE = 1 << 30  # bytes up to which a model holds all features, those that never occurred among them
MOST = 2**31 - 1  # values of a batch, which a View numbers by int32
ARRAYS = ("rows", "means", "squares")


class Parameters:
    """A table of rows (k factors, then the weight) with Adam's moments, and w0.

    A row is made when its feature is first met, with the values that `Initial` has for it. So memory grows
    with the features that occur, not with feature_dim; dense data have all from the start, in order.
    """

    def __init__(self, initial: Initial, width: int, factors: int, device: str) -> None:
        self.width = width
        self.factors = factors
        self._initial = initial
        self.device = Device(device)
        self._places = _no_places()
        self._rows_ready = 0  # places that have their rows
        memory.require(
            self._bytes(1),
            f"num_factors={factors}: the parameters of a single feature and Adam's moments",
            "lower num_factors",
            device,
        )
        empty = np.empty((0, factors + 1), np.float32)
        bias = np.array([initial.bias, 0.0, 0.0])
        self.state = FactorState(*map(self.device.put, (empty, empty, empty, bias)))

    def __len__(self) -> int:
        return len(self._places)

    @property
    def ids(self) -> np.ndarray:
        """(len,) int64: the feature of each row."""
        return self._places.ids

    def announce(self) -> None:
        """Say what memory the parameters take before any is taken."""
        log.info(
            "A feature takes %d bytes (num_factors + 1 = %d values, each with two moments) once it occurs: "
            "%s if all %d (feature_dim) do; there are %s",
            self._bytes(1),
            self.factors + 1,
            memory.size(self._bytes(self.width)),
            self.width,
            memory.size(memory.available(self.device.name)),
        )

    def view(self, features: csr_array) -> View:
        """The batch by row and by feature, on the device; features that were never met get their rows."""
        if features.nnz > MOST:
            raise UserError(
                f"a mini-batch holds {features.nnz} values, more than {MOST}: lower mini_batch_size"
            )
        view = self._places.view(features.indptr, features.indices, features.data)
        self._fill()
        return View(*self.device.stage_all([getattr(view, field.name) for field in fields(View)]))

    def find(self, ids: np.ndarray) -> Array:
        """The places (m,) int32 of features, on the device, rows made for those never met."""
        places = self._places.find(ids)
        self._fill()
        return self.device.put(places)

    def table(self) -> tuple[np.ndarray | None, np.ndarray]:
        """What a model keeps: None and the rows of all features, (d, k + 1) float32; or, where these would be
        large and most never occurred, the features that did (m,) int64, ascending, and their rows."""
        rows_of_ids = host(self.state.rows[: len(self)])
        if 4 * self.width * (self.factors + 1) > WHOLE and 2 * len(self) < self.width:
            order = np.argsort(self.ids)
            return self.ids[order], rows_of_ids[order]
        rows = self._initial.rows(np.arange(self.width))
        rows[self.ids] = rows_of_ids
        return None, rows

    def state_dict(self) -> dict[str, np.ndarray]:
        arrays = {name: host(getattr(self.state, name)[: len(self)]) for name in ARRAYS}
        return {"ids": self.ids.copy(), "bias": host(self.state.bias).copy()} | {
            name: array.copy() for name, array in arrays.items()
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._places = _no_places()
        self._places.find(state["ids"])
        self._rows_ready = len(self._places)
        rows, means, squares, bias = (self.device.put(np.array(state[name])) for name in (*ARRAYS, "bias"))
        self.state = FactorState(rows, means, squares, bias)

    def _fill(self) -> None:
        """Give every place a row."""
        start, stop = self._rows_ready, len(self._places)
        if start == stop:
            return
        if stop > len(self.state.rows):
            self._grow(start, stop)
        self.state.rows[start:stop] = self.device.put(self._initial.rows(self.ids[start:]))
        self.state.means[start:stop] = 0
        self.state.squares[start:stop] = 0
        self._rows_ready = stop

    def _grow(self, ready: int, count: int) -> None:
        """Make room for twice as many rows as are needed, or just for those where memory is short."""
        memory.require(
            self._bytes(count),
            f"{count} features occur, of feature_dim={self.width}; with num_factors={self.factors} their "
            "parameters and Adam's moments",
            "lower num_factors, hash or drop rare features",
            self.device.name,
        )
        room = min(self.width, max(2 * count, SMALLEST))
        if self._bytes(room) > memory.available(self.device.name) // 2:
            room = count
        for name in ARRAYS:  # one after the other: only one of them is held twice
            larger = self.device.empty(room, self.factors + 1)
            larger[:ready] = getattr(self.state, name)[:ready]
            setattr(self.state, name, larger)

    def _bytes(self, rows: int) -> int:
        return 4 * len(ARRAYS) * rows * (self.factors + 1)


def _no_places() -> Places:
    from optml.algorithms.kernels.factorized.places import Places  # imports numba, which servers do without

    return Places()
