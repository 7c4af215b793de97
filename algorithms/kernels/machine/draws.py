"""Random numbers that are a function of a key and a counter, for compiled loops: SplitMix64.

Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. Number n of the stream of a
key is mix(key + n * GOLDEN): no state to share, and the same on every thread and device.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64, types, uint32, uint64, void

from optml.algorithms.kernels.machine.simd import compiled

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(0xBF58476D1CE4E5B9)
_TWO = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = (np.uint64(bits) for bits in (30, 27, 31, 32))
_LOW = np.uint64(0xFFFFFFFF)

alias_type = types.Array(uint32, 2, "C")


@compiled([uint64(uint64)], inline=True)
def mix(z):  # type: ignore[no-untyped-def]
    """A hash of 64 bits to 64."""
    z = (z ^ (z >> _30)) * _ONE
    z = (z ^ (z >> _27)) * _TWO
    return z ^ (z >> _31)


@compiled([int64(uint64)], inline=True)
def high(number):  # type: ignore[no-untyped-def]
    """The upper 32 bits of a random number."""
    return int64(number >> _32)


@compiled([int64(uint64, int64)], inline=True)
def below(number, limit):  # type: ignore[no-untyped-def]
    """A number from 0 to limit - 1 (limit < 2^32) by the upper half of a random one."""
    return int64(((number >> _32) * uint64(limit)) >> _32)


@compiled([int64(uint64, alias_type)], inline=True)
def pick(number, alias):  # type: ignore[no-untyped-def]
    """What a random number falls on, of a distribution (`alias.py`)."""
    place = below(number, len(alias))
    if uint32(number & _LOW) < alias[place, 0]:
        return place
    return int64(alias[place, 1])


@compiled([void(uint64, types.Array(int64, 1, "C"), float32, int64, types.Array(float32, 2, "C"))])
def uniform_rows(seed, keys, limit, width, out):  # type: ignore[no-untyped-def]
    """Fill `width` columns of row i with numbers in +-limit that depend on the seed and keys[i] alone."""
    scale = limit / np.float32(2**31)
    for row in range(len(keys)):
        key = mix(seed ^ mix(uint64(keys[row])))
        for j in range(width):
            key += GOLDEN
            out[row, j] = np.float32(high(mix(key)) - 2**31) * scale
