"""Where the features that have occurred are kept: ids of any width -> places 0, 1, 2, ... as they appear.

A model over 10^8 features of which 10^5 occur has 10^5 rows; a hash table finds the row of an id. Then a
mini-batch is turned around, from the entries of each row to the entries of each feature that occurs. All this
is look-ups and no arithmetic: the host does it for every device.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int32, int64, njit, types, uint64

from optml.algorithms.kernels.factorized.terms import View

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth's multiplicative hashing, TAOCP 3, 6.4
SMALLEST = 1 << 10  # buckets
FREE = -1


class Places:
    """An open-addressing hash table with linear probing, at most half full; nothing is ever removed."""

    def __init__(self) -> None:
        self._count = 0
        self._ids = np.empty(0, np.int64)
        self._turns = np.empty(0, np.int32)  # of each place: its turn in the batch at hand, or FREE
        self._build(SMALLEST)

    def __len__(self) -> int:
        return self._count

    @property
    def ids(self) -> np.ndarray:
        """(len,) int64: the feature at each place."""
        return self._ids[: self._count]

    def find(self, ids: np.ndarray) -> np.ndarray:
        """The places (m,) int32 of (m,) integer ids >= 0; an id that was never seen gets the next one."""
        self._make_room(len(ids))
        places = np.empty(len(ids), np.int32)
        ids = np.ascontiguousarray(ids)
        self._count = _find(ids, self._keys, self._slots, self._shift, self._ids, self._count, places)
        return places

    def view(self, indptr: np.ndarray, indices: np.ndarray, data: np.ndarray) -> View:
        """A mini-batch in compressed rows (int32 or int64, int32 or int64, float32), turned around."""
        starts = indptr.astype(np.int32)
        places = self.find(indices)
        values = np.ascontiguousarray(data)
        entries = len(places)
        distinct, bounds = np.empty(entries, np.int32), np.empty(entries + 1, np.int32)
        rows, column = np.empty(entries, np.int32), np.empty(entries, np.float32)
        count = _turn(starts, places, values, self._turns, distinct, bounds, rows, column)
        return View(starts, places, values, distinct[:count], bounds[: count + 1], rows, column)

    def _make_room(self, more: int) -> None:
        count = self._count + more
        if count > len(self._ids):
            size = max(count, 2 * len(self._ids))
            turns = np.full(size, FREE, np.int32)  # between batches all are free
            ids = np.empty(size, np.int64)
            ids[: self._count] = self.ids
            self._ids, self._turns = ids, turns
        if 2 * count > len(self._keys):
            features = self.ids.copy()
            self._build(1 << (4 * count - 1).bit_length())
            places = np.empty(len(features), np.int32)
            self._count = _find(features, self._keys, self._slots, self._shift, self._ids, 0, places)

    def _build(self, buckets: int) -> None:
        self._keys = np.full(buckets, FREE, np.int64)
        self._slots = np.empty(buckets, np.int32)
        self._shift = 64 - (buckets.bit_length() - 1)


def _ids_of(kind: types.Type) -> types.Array:
    return types.Array(kind, 1, "C", readonly=True)


_int32s, _floats = _ids_of(int32), _ids_of(float32)


@njit(
    [
        int64(_ids_of(kind), int64[::1], int32[::1], int64, int64[::1], int64, int32[::1])
        for kind in (int32, int64)
    ],
    nogil=True,
    cache=True,
)
def _find(
    features: np.ndarray,
    keys: np.ndarray,
    slots: np.ndarray,
    shift: int,
    ids: np.ndarray,
    count: int,
    places: np.ndarray,
) -> int:
    mask = len(keys) - 1
    for e in range(len(features)):
        key = np.int64(features[e])
        bucket = np.int64((uint64(key) * GOLDEN) >> uint64(shift))
        while keys[bucket] != key:
            if keys[bucket] == FREE:
                keys[bucket] = key
                slots[bucket] = np.int32(count)
                ids[count] = key
                count += 1
                break
            bucket = (bucket + 1) & mask
        places[e] = slots[bucket]
    return count


@njit(
    int64(_int32s, _int32s, _floats, int32[::1], int32[::1], int32[::1], int32[::1], float32[::1]),
    nogil=True,
    cache=True,
)
def _turn(
    starts: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
    turns: np.ndarray,
    distinct: np.ndarray,
    bounds: np.ndarray,
    rows: np.ndarray,
    column: np.ndarray,
) -> int:
    """A counting sort of the entries by feature, features in order of appearance, rows ascending."""
    count = 0
    for e in range(len(places)):
        place = places[e]
        if turns[place] == FREE:
            turns[place] = count
            distinct[count] = place
            bounds[count + 1] = 0
            count += 1
        bounds[turns[place] + 1] += 1
    bounds[0] = 0
    for u in range(count):
        bounds[u + 1] += bounds[u]
    for i in range(len(starts) - 1):
        for e in range(starts[i], starts[i + 1]):
            u = turns[places[e]]
            rows[bounds[u]] = i
            column[bounds[u]] = values[e]
            bounds[u] += 1
    for u in range(count, 0, -1):  # filling has moved every bound to the next one
        bounds[u] = bounds[u - 1]
    bounds[0] = 0
    for u in range(count):
        turns[distinct[u]] = FREE
    return count
