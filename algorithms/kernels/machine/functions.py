"""Functions of sixteen float32 numbers at a time (`simd.py`): to 2e-7, where nothing else is said.

Each is a polynomial through its function at Chebyshev's points of an interval, which is nearly the best one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from optml.algorithms.kernels.machine.simd import (
    LANES,
    VECTOR,
    _lanes,
    compiled,
    divide,
    fill,
    intrinsic,
    maximum,
    multiply_add,
    zero,
)

_INTEGERS = ir.VectorType(ir.IntType(32), LANES)
_function: Any = cgutils.get_or_insert_function
_MAGIC = 1.5 * 2.0**23  # added to a small number, it leaves the nearest whole one in the lowest bits
_LOG2E = float(np.log2(np.e))
_ONE, _TWO, _MINUS, _DOWN, _MOST = (np.float32(value) for value in (1, 2, -1, -_LOG2E, 126))
_ROOT_HALF = int(np.float32(np.sqrt(0.5)).view(np.int32))


def _through(
    function: Callable[[np.ndarray], np.ndarray], degree: int, low: float, high: float
) -> list[float]:
    """Coefficients, the highest first."""
    polynomial = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    coefficients: list[float] = polynomial.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist()
    return coefficients


_POWER = _through(np.exp2, 5, -0.5, 0.5)
_LESS_ONE = _through(lambda x: np.expm1(x) / x, 5, -0.35, 0.35)
_SINE = _through(lambda x: np.sin(2 * np.pi * np.sqrt(x)) / np.sqrt(x), 5, 0.0, 0.0626)
_LOGARITHM = _through(lambda x: (np.log1p(x) - x) / np.square(x), 9, -0.293, 0.4143)
_HYPERBOLIC = _through(lambda x: 2 * np.arctanh(np.sqrt(x)) / np.sqrt(x), 5, 0.0, 0.1112)


def _numbers(value: float) -> Any:
    return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)


def _whole(value: int) -> Any:
    return ir.Constant(_INTEGERS, [value] * LANES)


def _add(builder: Any, one: Any, two: Any, more: Any) -> Any:
    return builder.fadd(builder.fmul(one, two, flags=("contract",)), more, flags=("contract",))


def _polynomial(builder: Any, coefficients: list[float], x: Any) -> Any:
    """By Estrin's scheme: neighbours first, whose products do not wait for one another."""
    terms: list[Any] = [_numbers(coefficient) for coefficient in coefficients[::-1]]
    while len(terms) > 1:
        pairs = zip(terms[1::2], terms[::2], strict=False)
        last = terms[-1:] if len(terms) % 2 else []
        terms = [_add(builder, high, x, low) for high, low in pairs] + last
        x = builder.fmul(x, x)
    return terms[0]


def _within(builder: Any, x: Any, most: Any) -> Any:
    lowest = builder.fneg(most)
    x = builder.select(builder.fcmp_ordered("<", x, most), x, most)
    return builder.select(builder.fcmp_ordered(">", x, lowest), x, lowest)


def _round(builder: Any, x: Any) -> tuple[Any, Any]:
    """The nearest whole number; and 2^23 times that as an integer: what to add to an exponent."""
    large = builder.fadd(x, _numbers(_MAGIC))
    return builder.fsub(large, _numbers(_MAGIC)), builder.shl(builder.bitcast(large, _INTEGERS), _whole(23))


@intrinsic
def power(typing: Any, x: Any, by: Any, most: Any) -> Any:
    """2^(x * by), to 1e-7 (1 + |x * by| / 2) of itself; the exponent is held within +-most, most <= 126."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        exponent = _within(builder, builder.fmul(*arguments[:2]), arguments[2])
        whole, bits = _round(builder, exponent)
        value = _polynomial(builder, _POWER, builder.fsub(exponent, whole))
        return builder.bitcast(builder.add(builder.bitcast(value, _INTEGERS), bits), VECTOR)

    return _lanes(_lanes, _lanes, _lanes), generate


@intrinsic
def exponential_less_one(typing: Any, x: Any) -> Any:
    """e^x - 1, also where that is small; |x| is held below 87."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x = _within(builder, arguments[0], _numbers(87.0))
        whole, bits = _round(builder, builder.fmul(x, _numbers(_LOG2E)))
        # log 2 in two parts, so that nothing is lost
        rest = _add(builder, whole, _numbers(-0.693359375), x)
        rest = _add(builder, whole, _numbers(2.12194440e-4), rest)
        near = builder.fmul(_polynomial(builder, _LESS_ONE, rest), rest)
        one = _numbers(1.0)
        scale = builder.bitcast(builder.add(builder.bitcast(one, _INTEGERS), bits), VECTOR)
        return _add(builder, near, scale, builder.fsub(scale, one))

    return _lanes(_lanes), generate


@intrinsic
def logarithm(typing: Any, x: Any) -> Any:
    """Of normal numbers > 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], _INTEGERS)
        exponent = builder.ashr(builder.sub(bits, _whole(_ROOT_HALF)), _whole(23))
        bits = builder.sub(bits, builder.shl(exponent, _whole(23)))
        rest = builder.fsub(builder.bitcast(bits, VECTOR), _numbers(1.0))  # sqrt(1/2) - 1 to sqrt(2) - 1
        whole = builder.sitofp(exponent, VECTOR)
        square = builder.fmul(rest, rest)
        value = _add(builder, _polynomial(builder, _LOGARITHM, rest), square, rest)
        value = _add(builder, whole, _numbers(-2.12194440e-4), value)
        return _add(builder, whole, _numbers(0.693359375), value)

    return _lanes(_lanes), generate


@intrinsic
def root(typing: Any, x: Any) -> Any:
    """The square root."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(VECTOR, [VECTOR])
        return builder.call(_function(builder.module, kind, f"llvm.sqrt.v{LANES}f32"), arguments)

    return _lanes(_lanes), generate


@intrinsic
def cosine(typing: Any, turns: Any) -> Any:
    """cos(2 pi x) for x from 0 to 1."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        offset = builder.fsub(arguments[0], _numbers(0.5))
        kind = ir.FunctionType(VECTOR, [VECTOR])
        size = builder.call(_function(builder.module, kind, f"llvm.fabs.v{LANES}f32"), [offset])
        sine = builder.fsub(size, _numbers(0.25))  # of an angle within a quarter of a turn
        return builder.fmul(_polynomial(builder, _SINE, builder.fmul(sine, sine)), sine)

    return _lanes(_lanes), generate


@intrinsic
def _series(typing: Any, x: Any) -> Any:
    """2 artanh(x), x from 0 to 1/3."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (x,) = arguments
        return builder.fmul(_polynomial(builder, _HYPERBOLIC, builder.fmul(x, x)), x)

    return _lanes(_lanes), generate


@compiled([_lanes(_lanes)], inline=True)
def softplus(x):  # type: ignore[no-untyped-def]
    """log(1 + e^x), also where that is small: log(1 + e) is 2 artanh(e / (2 + e))."""
    size = maximum(x, multiply_add(x, fill(_MINUS), zero()))
    small = power(size, fill(_DOWN), fill(_MOST))
    share = divide(small, multiply_add(small, fill(_ONE), fill(_TWO)))
    return multiply_add(maximum(x, zero()), fill(_ONE), _series(share))
