# mypy: disable-error-code="no-untyped-def"
# The signatures stand in the decorators, for numba.
"""A batch of pairs turned around: from samples to distinct addresses, and to the rows of tables that they
touch. All this is look-ups and no arithmetic: the host does it for every device."""

from __future__ import annotations

import numpy as np
from numba import float32, int32, int64, types, uint32, uint64, void

from optml.algorithms.kernels.machine.simd import compiled
from optml.algorithms.kernels.pairs import SHORT
from optml.algorithms.kernels.pairs.terms import LENGTHS, OFFSETS, RATES, WIDEST, Groups, View

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth's multiplicative hashing, TAOCP 3, 6.4
_FREE = -1

_keys = types.Array(uint32, 1, "C", readonly=True)
_int32s = types.Array(int32, 1, "C")
_uint32s = types.Array(uint32, 1, "C")


def view(rows: np.ndarray, addresses: np.ndarray, labels: np.ndarray, teaching: np.ndarray | None) -> View:
    """The view of samples: entities' rows (n,) uint32, addresses (n,) uint32, labels (n,) float32.

    teaching: (n,) bool. The vectors of an address's prefixes up to `SHORT` bits learn if one of its samples
    teaches them, then from all of its samples. None for an encoder of bits alone."""
    distinct, bounds, order, _ = _groups_of(addresses)
    rows = rows[order]
    of_sample = np.repeat(np.arange(len(distinct), dtype=np.int32), np.diff(bounds))
    row_ids, ends, members, _ = _groups_of(rows)
    entities = Groups(row_ids.view(np.int32), ends, of_sample[members], np.ones(len(row_ids), np.float32))
    if teaching is not None:
        prefix_rows = prefix_rows_of(distinct)
        learns = np.ones(prefix_rows.shape, bool)
        learns[:, np.array(LENGTHS) <= SHORT] = False
        learns[of_sample[teaching[order]]] = True
        places = np.flatnonzero(learns).astype(np.int32)
        row_ids, ends, entries, _ = _groups_of(prefix_rows.reshape(-1)[places].view(np.uint32))
        row_ids = row_ids.view(np.int32)
        groups = Groups(row_ids, ends, places[entries] // np.int32(len(LENGTHS)), rates_of(row_ids))
    else:
        prefix_rows = np.empty((len(distinct), 0), np.int32)
        nothing = np.empty(0, np.int32)
        groups = Groups(nothing, np.zeros(1, np.int32), nothing, np.empty(0, np.float32))
    return View(
        distinct.view(np.int32),
        prefix_rows,
        bounds,
        rows.view(np.int32),
        labels[order],
        members,
        entities,
        groups,
    )


def prefix_rows_of(addresses: np.ndarray) -> np.ndarray:
    """(m, 6) int32: the rows of the prefixes of addresses (m,) uint32."""
    prefix_rows = np.empty((len(addresses), len(LENGTHS)), np.int32)
    _prefix_rows(addresses, prefix_rows)
    return prefix_rows


def rates_of(rows: np.ndarray) -> np.ndarray:
    """(u,) float32: the parts of the learning rate that rows (u,) int32 of prefixes take."""
    rates = np.empty(len(rows), np.float32)
    _rates(rows, rates)
    return rates


def _groups_of(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Distinct keys (u,) uint32 in the order of their appearance, where each one's places begin (u + 1,), and
    the places (n,) of each in ascending order; int32."""
    n = len(keys)
    table = np.full(1 << max(2 * n - 1, 1).bit_length(), _FREE, np.int32)
    distinct, bounds = np.empty(n, np.uint32), np.zeros(n + 1, np.int32)
    turns, places = np.empty(n, np.int32), np.empty(n, np.int32)
    count = _group(keys, table, distinct, bounds, turns, places)
    return distinct[:count], bounds[: count + 1], places, count


@compiled([int64(_keys, _int32s, _uint32s, _int32s, _int32s, _int32s)])
def _group(keys, table, distinct, bounds, turns, places):
    shift = uint64(64)
    size = len(table)
    while size > 1:
        size >>= 1
        shift -= uint64(1)
    mask = len(table) - 1
    count = 0
    for i in range(len(keys)):
        key = keys[i]
        bucket = int64((uint64(key) * _GOLDEN) >> shift) & mask
        while table[bucket] != _FREE and distinct[table[bucket]] != key:
            bucket = (bucket + 1) & mask
        if table[bucket] == _FREE:
            table[bucket] = count
            distinct[count] = key
            count += 1
        turn = table[bucket]
        turns[i] = turn
        bounds[turn + 1] += 1
    for u in range(count):
        bounds[u + 1] += bounds[u]
    for i in range(len(keys)):
        turn = turns[i]
        places[bounds[turn]] = i
        bounds[turn] += 1
    for u in range(count, 0, -1):  # filling has moved every bound to the next one
        bounds[u] = bounds[u - 1]
    bounds[0] = 0
    return count


@compiled([void(types.Array(uint32, 1, "C", readonly=True), types.Array(int32, 2, "C"))])
def _prefix_rows(addresses, prefix_rows):
    for i in range(len(addresses)):
        for place in range(len(LENGTHS)):
            length = LENGTHS[place]
            prefix = uint64(addresses[i]) >> uint64(32 - length)
            if length > WIDEST:
                prefix = ((prefix + uint64(1)) * _GOLDEN) >> uint64(64 - WIDEST)
            prefix_rows[i, place] = OFFSETS[place] + int64(prefix)


@compiled([void(types.Array(int32, 1, "C", readonly=True), types.Array(float32, 1, "C"))])
def _rates(rows, rates):
    for u in range(len(rows)):
        place = len(OFFSETS) - 1
        while rows[u] < OFFSETS[place]:
            place -= 1
        rates[u] = RATES[place]
