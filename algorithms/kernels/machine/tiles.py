"""Products of tall matrices with few columns, in tiles that stay in a processor's registers.

BLAS copies both factors of a product into an order of its own first, which for a product with some 32 columns
takes a third of the time; and knows nothing of what its result is for. Here a tile of the result, a few rows
by one cache line, is summed in registers over rows of the second factor, read from where they are.

    c[r] += sum over k of a[r, k] * b[k]     for r < TALL

Each of a tile's numbers is summed by itself and in the order of k, whatever tile it is in.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from optml.algorithms.kernels.machine.simd import LANES, VECTOR, intrinsic

TALL = 6  # rows of a tile: with AVX2 it takes 12 of 16 registers
UNROLL = 4  # steps of the depth in one round of the loop

_LONG = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()


def _number(value: int) -> Any:
    return ir.Constant(_LONG, value)


def _lines(builder: Any, pointer: Any, offset: Any) -> Any:
    """The address of the sixteen numbers from `offset` on."""
    return builder.bitcast(builder.gep(pointer, [offset]), VECTOR.as_pointer())


def _prefetch(builder: Any, pointer: Any) -> None:
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [_BYTES, number, number, number])
    function: Any = cgutils.get_or_insert_function
    to_read = [ir.Constant(number, value) for value in (0, 3, 1)]
    builder.call(
        function(builder.module, kind, "llvm.prefetch.p0i8"), [builder.bitcast(pointer, _BYTES), *to_read]
    )


def _tile(rows: int, *, ahead: bool = False) -> Any:
    """An intrinsic that adds to a tile of so many rows:

    tile(a, start, across, along, b, first, c, place, width, depth)

    a[r, k] is number start + r * across + k * along of a, k < depth; b and c have rows of `width` numbers,
    and the tile's cache lines begin at numbers `first` and `place` of theirs. ahead: the rows of a lie one
    behind the other, and those of the next tile are asked for meanwhile.
    """

    @intrinsic
    def tile(
        typing: Any, a: Any, start: Any, across: Any, along: Any, b: Any, first: Any, c: Any, place: Any,
        width: Any, depth: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, start, across, along, b, first, c, place, width, depth = arguments

            def pointer(which: int, array: Any, offset: Any) -> Any:
                data = context.make_array(signature.args[which])(context, builder, array).data
                return builder.gep(data, [offset])

            factor, other, result = pointer(0, a, start), pointer(4, b, first), pointer(6, c, place)
            starts = [builder.gep(factor, [builder.mul(across, _number(r))]) for r in range(rows)]
            tops = [_lines(builder, result, builder.mul(width, _number(r))) for r in range(rows)]
            sums = [builder.load(top, align=4) for top in tops]
            none = ir.Constant(VECTOR, ir.Undefined)
            zero = ir.Constant(ir.IntType(32), 0)
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

            def loop(begin: Any, end: Any, step: int, sums: list[Any]) -> tuple[Any, list[Any]]:
                """Go on from k = begin while k < end; where that was, and the sums."""
                before = builder.block
                head, body, after = (builder.append_basic_block(name) for name in ("head", "body", "after"))
                builder.branch(head)
                builder.position_at_end(head)
                k = builder.phi(_LONG)
                k.add_incoming(begin, before)
                phis = [builder.phi(VECTOR) for _ in sums]
                for phi, value in zip(phis, sums, strict=True):
                    phi.add_incoming(value, before)
                builder.cbranch(builder.icmp_signed("<", k, end), body, after)
                builder.position_at_end(body)
                if ahead and step > 1:
                    behind = builder.mul(builder.add(across, k), _number(rows))
                    for line in range(-(-step * rows // LANES)):
                        offset = builder.add(behind, _number(line * LANES))
                        _prefetch(builder, builder.gep(factor, [offset]))
                totals = list(phis)
                for u in range(step):
                    at = builder.add(k, _number(u))
                    row = builder.load(_lines(builder, other, builder.mul(at, width)), align=4)
                    offset = builder.mul(at, along)
                    for r in range(rows):
                        value = builder.load(builder.gep(starts[r], [offset]))
                        value = builder.insert_element(none, value, zero)
                        value = builder.shuffle_vector(value, none, everywhere)
                        product = builder.fmul(value, row, flags=("contract",))
                        totals[r] = builder.fadd(product, totals[r], flags=("contract",))
                k.add_incoming(builder.add(k, _number(step)), builder.block)
                for phi, value in zip(phis, totals, strict=True):
                    phi.add_incoming(value, builder.block)
                builder.branch(head)
                builder.position_at_end(after)
                return k, phis

            whole = builder.sub(depth, _number(UNROLL - 1))
            k, sums = loop(_number(0), whole, UNROLL, sums)
            _, sums = loop(k, depth, 1, sums)
            for top, value in zip(tops, sums, strict=True):
                builder.store(value, top, align=4)
            return context.get_dummy_value()

        number = types.int64
        return (
            types.void(a, number, number, number, b, number, c, number, number, number),
            generate,
        )

    return tile


tall_tile = _tile(TALL)
tall_tile_ahead = _tile(TALL, ahead=True)
flat_tile = _tile(1)
