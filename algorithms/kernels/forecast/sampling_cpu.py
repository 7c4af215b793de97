"""Draws from distributions in compiled loops, by random numbers that a key in an array counts.

Each draw moves `keys[row]` on (`machine/draws.py`), so a row's numbers depend on its first key alone.
Gamma: Marsaglia and Tsang, ACM TOMS 26(3), 2000. Poisson: inversion where the mean is small, else Hoermann's
PTRS, Insurance: Mathematics and Economics 12, 1993.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float64, int64, types, uint64

from optml.algorithms.kernels.machine.draws import GOLDEN, mix
from optml.algorithms.kernels.machine.simd import compiled

keys_type = types.Array(uint64, 1, "C")

_SHIFT = np.uint64(11)
_SMALL = 10.0  # mean up to which a Poisson number is found by inversion
_HUGE = 1e12  # mean whose Poisson number is the mean, to six digits


@compiled([float64(keys_type, int64)])
def uniform(keys, row):  # type: ignore[no-untyped-def]
    """In the open interval (0, 1)."""
    keys[row] += GOLDEN
    return (float64(mix(keys[row]) >> _SHIFT) + 0.5) * 2.0**-53


@compiled([float64(keys_type, int64)])
def normal(keys, row):  # type: ignore[no-untyped-def]
    radius = math.sqrt(-2.0 * math.log(uniform(keys, row)))
    return radius * math.cos(2.0 * math.pi * uniform(keys, row))


@compiled([float64(keys_type, int64, float64)])
def gamma(keys, row, shape):  # type: ignore[no-untyped-def]
    """Of scale 1."""
    boost = 1.0
    if shape < 1.0:
        boost = uniform(keys, row) ** (1.0 / max(shape, 1e-8))
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(keys, row)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(uniform(keys, row)) < 0.5 * x * x + d - d * v + d * math.log(v):
            return boost * d * v


@compiled([float64(keys_type, int64, float64)])
def poisson(keys, row, mean):  # type: ignore[no-untyped-def]
    if mean > _HUGE:
        return math.floor(mean)
    if mean <= _SMALL:
        left = uniform(keys, row)
        share = math.exp(-mean)
        count = 0.0
        while left > share and count < 200.0:
            left -= share
            count += 1.0
            share *= mean / count
        return count
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse = 1.1239 + 1.1328 / (b - 3.4)
    while True:
        u = uniform(keys, row) - 0.5
        v = uniform(keys, row)
        near = 0.5 - abs(u)
        count = math.floor((2.0 * a / near + b) * u + mean + 0.43)
        if near >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2.0):
            return count
        if count < 0.0 or (near < 0.013 and v > near):
            continue
        bound = count * math.log(mean) - mean - math.lgamma(count + 1.0)
        if math.log(v * inverse / (a / (near * near) + b)) <= bound:
            return count
