"""What steps on rows of a CPU's tables are made of: the logistic function, products and means of rows."""

from __future__ import annotations

import numpy as np
from numba import float32, int64, types, void

from optml.algorithms.kernels.machine.replica import table_type
from optml.algorithms.kernels.machine.simd import add_up, compiled, fill, load, multiply_add, store, zero

_LIMIT = np.float32(8)  # of the argument; beyond, the function is 0 or 1
_STEPS = np.float32(64)  # entries of the table, for a unit of the argument
_LOGISTIC = (1 / (1 + np.exp(8 - np.arange(1026) / 64))).astype(np.float32)
_ZERO, _ONE = np.float32(0), np.float32(1)

_places = types.Array(int64, 1, "C")


@compiled([float32(float32)], inline=True)
def logistic(x):  # type: ignore[no-untyped-def]
    if x >= _LIMIT:
        return _ONE
    if x <= -_LIMIT:
        return _ZERO
    place = (x + _LIMIT) * _STEPS
    before = int64(place)
    value = _LOGISTIC[before]
    return value + (place - np.float32(before)) * (_LOGISTIC[before + 1] - value)


@compiled([float32(table_type, int64, table_type, int64, int64)], inline=True)
def dot(one, first, two, second, lines):  # type: ignore[no-untyped-def]
    """The product of two rows, by their first lines."""
    total = zero()
    for line in range(lines):
        total = multiply_add(load(one, first + line), load(two, second + line), total)
    return add_up(total)


@compiled([void(table_type, _places, int64, int64, table_type)], inline=True)
def mean(rows, places, count, lines, out):  # type: ignore[no-untyped-def]
    """The mean of `count` rows into the first row of `out`."""
    part = fill(_ONE / np.float32(count))
    for line in range(lines):
        total = zero()
        for i in range(count):
            total = multiply_add(part, load(rows, places[i] * lines + line), total)
        store(out, line, total)
