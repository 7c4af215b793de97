"""Sixteen float32 numbers at a time, for compiled loops over rows that are random to the processor.

LLVM vectorises plain loops well where they are long; rows of some hundred numbers lose half their time in
remainders and in sums that are folded for each row. Here a row is a run of whole cache lines: its stride is a
multiple of `LANES`, and what lies beyond its width is zero.

    total = zero()
    for lane in range(lanes):
        total = multiply_add(load(x, start + lane), load(y, other + lane), total)
    product = add_up(total)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic
from numba.extending import models, register_model

LANES = 16  # of 4 bytes: one cache line, one AVX-512 register, two of AVX2

VECTOR = ir.VectorType(ir.FloatType(), LANES)


def compiled(signatures: Any, *, inline: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Compile for these types, when the module is imported. The function counts no references to its arrays,
    which costs more than the sums of a short row; so it cannot make any."""
    options: dict[str, Any] = {"cache": True, "nogil": True, "forceinline": inline, "_nrt": False}
    decorator: Callable[[Callable[..., Any]], Any] = njit(signatures, **options)
    return decorator


def intrinsic(function: Callable[..., Any]) -> Any:
    return _intrinsic(function)


class _Lanes(types.Type):
    """The type of sixteen float32 numbers; lives in registers only."""

    def __init__(self) -> None:
        super().__init__(name="float32x16")


_lanes = _Lanes()
_function: Any = cgutils.get_or_insert_function


@register_model(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)  # type: ignore[no-untyped-call]


def stride(width: int) -> int:
    """Floats of a row of `width`: whole cache lines."""
    return -(-width // LANES) * LANES


def empty(rows: int, width: int) -> np.ndarray:
    """A (rows, stride) float32 table of zeros that begins on a cache line."""
    return zeros((rows, stride(width)))


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array of zeros that begins on a cache line."""
    size = math.prod(shape)
    memory = np.zeros(size + LANES, np.float32)
    start = -memory.ctypes.data % (4 * LANES) // 4
    return memory[start : start + size].reshape(shape)


def _address(context: Any, builder: Any, kind: Any, array: Any, number: Any) -> Any:
    """Where sixteen numbers of a table begin, the first of them number `number`."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [number]), VECTOR.as_pointer())


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """The address of cache line `at` of a table."""
    number = builder.mul(at, ir.Constant(ir.IntType(64), LANES))
    return _address(context, builder, kind, array, number)


@intrinsic
def load(typing: Any, table: Any, line: Any) -> Any:
    """Line number `line` (int64) of a float32 table, counted from its beginning."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments)
        return builder.load(place, align=4)

    return _lanes(table, types.int64), generate


@intrinsic
def store(typing: Any, table: Any, line: Any, lanes: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], place, align=4)
        return context.get_dummy_value()

    return types.void(table, types.int64, _lanes), generate


@intrinsic
def load_from(typing: Any, table: Any, place: Any) -> Any:
    """The numbers from number `place` (int64) of a float32 table on, of whatever width."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], *arguments), align=4)

    return _lanes(table, types.int64), generate


@intrinsic
def store_from(typing: Any, table: Any, place: Any, lanes: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], place, align=4)
        return context.get_dummy_value()

    return types.void(table, types.int64, _lanes), generate


def _mask(builder: Any, count: Any) -> Any:
    """True in the first `count` lanes."""
    long = ir.IntType(64)
    kind = ir.VectorType(long, LANES)
    none = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(none, count, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    counts = builder.shuffle_vector(first, none, everywhere)
    return builder.icmp_signed("<", ir.Constant(kind, list(range(LANES))), counts)


_ALIGN = ir.Constant(ir.IntType(32), 4)
_MASK = ir.VectorType(ir.IntType(1), LANES)


@intrinsic
def load_part(typing: Any, table: Any, place: Any, count: Any) -> Any:
    """As `load_from`, of `count` (int64) numbers and zeros behind them; no more are read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments[:2])
        kind = ir.FunctionType(VECTOR, [address.type, ir.IntType(32), _MASK, VECTOR])
        function = _function(builder.module, kind, f"llvm.masked.load.v{LANES}f32.p0v{LANES}f32")
        mask = _mask(builder, arguments[2])
        return builder.call(function, [address, _ALIGN, mask, ir.Constant(VECTOR, None)])

    return _lanes(table, types.int64, types.int64), generate


@intrinsic
def store_part(typing: Any, table: Any, place: Any, lanes: Any, count: Any) -> Any:
    """As `store_from`, of the first `count` (int64) lanes; nothing else is written to."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments[:2])
        kind = ir.FunctionType(ir.VoidType(), [VECTOR, address.type, ir.IntType(32), _MASK])
        function = _function(builder.module, kind, f"llvm.masked.store.v{LANES}f32.p0v{LANES}f32")
        builder.call(function, [arguments[2], address, _ALIGN, _mask(builder, arguments[3])])
        return context.get_dummy_value()

    return types.void(table, types.int64, _lanes, types.int64), generate


@intrinsic
def prefetch(typing: Any, table: Any, line: Any) -> Any:
    """Ask for a line that will be read and written soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments)
        pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), number, number, number])
        function = _function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [pointer, *(ir.Constant(number, value) for value in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(table, types.int64), generate


@intrinsic
def zero(typing: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(VECTOR, None)

    return _lanes(), generate


@intrinsic
def fill(typing: Any, value: Any) -> Any:
    """The same number sixteen times."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(
            ir.Constant(VECTOR, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), mask)

    return _lanes(types.float32), generate


@intrinsic
def multiply_add(typing: Any, one: Any, two: Any, more: Any) -> Any:
    """one * two + more."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        product = builder.fmul(arguments[0], arguments[1], flags=("contract",))
        return builder.fadd(product, arguments[2], flags=("contract",))

    return _lanes(_lanes, _lanes, _lanes), generate


@intrinsic
def divide(typing: Any, one: Any, two: Any) -> Any:
    """one / two."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fdiv(*arguments)

    return _lanes(_lanes, _lanes), generate


@intrinsic
def maximum(typing: Any, one: Any, two: Any) -> Any:
    """The larger of every two; the second where the first is NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return _lanes(_lanes, _lanes), generate


@intrinsic
def least(typing: Any, one: Any, two: Any) -> Any:
    """The smaller of each pair."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *arguments), *arguments)

    return _lanes(_lanes, _lanes), generate


@intrinsic
def highest(typing: Any, lanes: Any) -> Any:
    """The largest of the sixteen."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, size = arguments[0], LANES
        undefined = ir.Constant(VECTOR, ir.Undefined)
        while size > 1:  # halves onto each other
            size //= 2
            places = [*range(size, 2 * size), *[0] * (LANES - size)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)
            other = builder.shuffle_vector(lanes, undefined, mask)
            lanes = builder.select(builder.fcmp_ordered(">", lanes, other), lanes, other)
        return builder.extract_element(lanes, ir.Constant(ir.IntType(32), 0))

    return types.float32(_lanes), generate


@intrinsic
def first_equal(typing: Any, one: Any, two: Any) -> Any:
    """The first place at which two lines hold the same number; LANES where there is none. int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, long = ir.IntType(LANES), ir.IntType(64)
        same = builder.bitcast(builder.fcmp_ordered("==", *arguments), bits)
        return builder.zext(builder.cttz(same, ir.Constant(ir.IntType(1), 0)), long)

    return types.int64(_lanes, _lanes), generate


@intrinsic
def add_up(typing: Any, lanes: Any) -> Any:
    """The sum of the sixteen."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, size = arguments[0], LANES
        undefined = ir.Constant(VECTOR, ir.Undefined)
        while size > 1:  # halves onto each other
            size //= 2
            places = [*range(size, 2 * size), *[0] * (LANES - size)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), places)
            total = builder.fadd(total, builder.shuffle_vector(total, undefined, mask))
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(_lanes), generate


@intrinsic
def exponential(typing: Any, lanes: Any) -> Any:
    """e^x, to 2e-7 of itself, for x <= 88; what is smaller than e^-87 is that."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integers = ir.VectorType(ir.IntType(32), LANES)

        def numbers(value: float) -> Any:
            return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)

        lowest = numbers(-87.0)
        small = builder.fcmp_ordered("<", arguments[0], lowest)
        x = builder.select(small, lowest, arguments[0])
        power = builder.fmul(x, numbers(1 / np.log(2)))
        kind = ir.FunctionType(VECTOR, [VECTOR])
        floor = _function(builder.module, kind, f"llvm.floor.v{LANES}f32")
        whole = builder.call(floor, [builder.fadd(power, numbers(0.5))])
        # x = whole * log 2 + rest, log 2 in two parts so that nothing is lost; |rest| <= log 2 / 2
        rest = builder.fsub(x, builder.fmul(whole, numbers(0.693359375)))
        rest = builder.fsub(rest, builder.fmul(whole, numbers(-2.12194440e-4)))
        series = numbers(1 / 720)
        for divisor in (120, 24, 6, 2, 1, 1):
            series = builder.fadd(builder.fmul(series, rest), numbers(1 / divisor))
        bits = builder.add(builder.fptosi(whole, integers), ir.Constant(integers, [127] * LANES))
        scale = builder.bitcast(builder.shl(bits, ir.Constant(integers, [23] * LANES)), VECTOR)
        return builder.fmul(series, scale)

    return _lanes(_lanes), generate
