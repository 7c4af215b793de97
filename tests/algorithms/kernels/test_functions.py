"""Functions of sixteen numbers at a time, against float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numba import njit

from optml.algorithms.kernels.machine.functions import (
    cosine,
    exponential_less_one,
    logarithm,
    power,
    root,
    softplus,
)
from optml.algorithms.kernels.machine.simd import LANES, fill, load, store

BY, MOST = np.float32(-1.5), np.float32(100)


@njit  # type: ignore[untyped-decorator]
def apply(name: int, x: np.ndarray, out: np.ndarray) -> None:
    for line in range(x.size // LANES):
        numbers = load(x, line)
        if name == 0:
            store(out, line, power(numbers, fill(BY), fill(MOST)))
        elif name == 1:
            store(out, line, exponential_less_one(numbers))
        elif name == 2:
            store(out, line, logarithm(numbers))
        elif name == 3:
            store(out, line, root(numbers))
        elif name == 4:
            store(out, line, cosine(numbers))
        else:
            store(out, line, softplus(numbers))


def spread(low: float, high: float) -> np.ndarray:
    return np.linspace(low, high, 64 * LANES)


SMALL = 10.0 ** spread(-12, -0.4)


@pytest.mark.parametrize(
    ("name", "x", "reference", "relative", "absolute"),
    [
        (0, spread(-60, 60), lambda x: 2.0 ** (-1.5 * x), 6e-6, 0),
        (0, spread(-200, -80), lambda x: np.full(x.shape, 2.0**100), 1e-6, 0),
        (1, np.concatenate([spread(-40, 40), SMALL, -SMALL]), np.expm1, 3e-7, 0),
        (2, np.concatenate([SMALL, 1 + SMALL, 10 * spread(0.1, 8)]), np.log, 3e-7, 0),
        (3, spread(0, 9), np.sqrt, 1e-7, 0),
        (4, spread(0, 1), lambda x: np.cos(2 * np.pi * x), 0, 3e-7),
        (5, spread(-60, 40), lambda x: np.logaddexp(0, x), 6e-6, 0),
    ],
)
def test_functions_are_those_of_float64(
    name: int, x: np.ndarray, reference: Callable[[np.ndarray], np.ndarray], relative: float, absolute: float
) -> None:
    numbers = x.astype(np.float32)[None]
    values = np.empty_like(numbers)
    apply(name, numbers, values)
    expected = reference(numbers.astype(np.float64))
    np.testing.assert_allclose(values, expected, rtol=relative, atol=absolute)
