# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# The signatures stand in the decorators, for numba.
"""The map of an address's bits on a CPU.

It is a sum of eight rows of a table, one for each hexadecimal digit of an address and its value (`DIGITS`),
and its gradient is added to those rows: a quarter of the sums of a product with the bits.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int32, int64, njit, types, uint32, void

from optml.algorithms.kernels.pairs.terms import bits

FAST = {"reassoc", "contract", "arcp"}

# (8 * 16, 32): of each digit and value its four bits as +1 and -1, and 0 for those of other digits.
DIGITS = np.kron(np.eye(8, dtype=np.float32), bits(np.arange(16, dtype=np.uint32))[:, -4:])

_int32s = types.Array(int32, 1, "C", readonly=True)
_vectors = types.Array(float32, 2, "C", readonly=True)


@njit(void(int64, _int32s, _vectors, float32[:, ::1]), nogil=True, cache=True, fastmath=FAST)
def enter(start, addresses, table, first):
    """Add up the rows of each address's digits."""
    for i in range(first.shape[0]):
        address = uint32(addresses[start + i])
        a, b = address >> 28, 16 + (address >> 24 & 15)
        c, d = 32 + (address >> 20 & 15), 48 + (address >> 16 & 15)
        e, f = 64 + (address >> 12 & 15), 80 + (address >> 8 & 15)
        g, h = 96 + (address >> 4 & 15), 112 + (address & 15)
        for k in range(first.shape[1]):
            first[i, k] = (table[a, k] + table[b, k] + table[c, k] + table[d, k]) + (
                table[e, k] + table[f, k] + table[g, k] + table[h, k]
            )


@njit(void(int64, _int32s, _vectors, float32[:, ::1]), nogil=True, cache=True, fastmath=FAST)
def leave(start, addresses, back, of_table):
    """Add the gradient of each address to those of its digits."""
    for i in range(back.shape[0]):
        address = uint32(addresses[start + i])
        for digit in range(8):
            row = 16 * digit + (address >> (28 - 4 * digit) & 15)
            for k in range(back.shape[1]):
                of_table[row, k] += back[i, k]
