"""Pixels of three channels, four numbers at a time: the fourth is the next pixel's first, and is overwritten
by it or falls into a place that is left for it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from optml.algorithms.kernels.machine.simd import intrinsic

_FOUR = ir.VectorType(ir.FloatType(), 4)
_BYTES = ir.VectorType(ir.IntType(8), 4)
_INTEGERS = ir.VectorType(ir.IntType(32), 4)


def _at(context: Any, builder: Any, kind: Any, array: Any, place: Any, vector: Any) -> Any:
    """The address of four items of an array from number `place` on."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


def _four(builder: Any, number: Any) -> Any:
    undefined = ir.Constant(_FOUR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTEGERS, [0] * 4))


def _mixed(builder: Any, one: Any, two: Any, part: Any) -> Any:
    """one + part * (two - one)."""
    product = builder.fmul(part, builder.fsub(two, one), flags=("contract",))
    return builder.fadd(one, product, flags=("contract",))


@intrinsic
def neighbours(typing: Any, row: Any, place: Any, part: Any, line: Any, at: Any) -> Any:
    """line[at : at + 3] = the pixel at row[place] and `part` of the way to the next; float32, all of them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row, place, part, line, at = arguments
        kind = signature.args[0]
        left = builder.load(_at(context, builder, kind, row, place, _FOUR), align=4)
        three = ir.Constant(ir.IntType(64), 3)
        right = builder.load(_at(context, builder, kind, row, builder.add(place, three), _FOUR), align=4)
        target = _at(context, builder, signature.args[3], line, at, _FOUR)
        builder.store(_mixed(builder, left, right, _four(builder, part)), target, align=4)
        return context.get_dummy_value()

    return types.void(row, types.int64, types.float32, line, types.int64), generate


@intrinsic
def square(
    typing: Any, image: Any, upper: Any, lower: Any, step: Any, a: Any, b: Any, line: Any, at: Any
) -> Any:
    """line[at : at + 3] = between the pixels at image[upper], image[upper + step] and the two of `lower`, a
    of the way to the right and b down; each is read with the byte behind it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        image, upper, lower, step, a, b, line, at = arguments

        def pixel(place: Any) -> Any:
            packed = builder.load(_at(context, builder, signature.args[0], image, place, _BYTES), align=1)
            return builder.uitofp(builder.zext(packed, _INTEGERS), _FOUR)

        right = _four(builder, a)
        above = _mixed(builder, pixel(upper), pixel(builder.add(upper, step)), right)
        below = _mixed(builder, pixel(lower), pixel(builder.add(lower, step)), right)
        target = _at(context, builder, signature.args[6], line, at, _FOUR)
        builder.store(_mixed(builder, above, below, _four(builder, b)), target, align=4)
        return context.get_dummy_value()

    long, real = types.int64, types.float32
    return types.void(image, long, long, long, real, real, line, long), generate
