"""Scores of a random cut forest on a CPU.

A block of rows goes through one tree after the other, node by node: down, the rows of a node are parted by
its cut into those of its children; up, E is taken from the children to the node:

    E_i = p_i / (i + 1) + (1 - p_i) E_{i+1}

So a node's box is loaded once for all its rows, which do not wait for one another, and no branch depends on
one row. A row that lies in a node's box lies in those above it, where p = 0: it need not go further up. A
row's sum runs over the trees in order, whatever the blocks and threads: same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import boolean, float32, float64, int32, int64, njit, types, uint64, void
from numba.core import cgutils
from numba.extending import intrinsic

from optml.algorithms.kernels.forest.terms import Forest
from optml.algorithms.kernels.machine.threads import ALONE, in_parts

VALUES = 1 << 17  # of a block of rows: 512 KiB, beside a tree's boxes
ROWS = 4096  # of a block, at most
DEPTH = 12  # nodes on a row's way down, for an estimate of the work
LANES = 8  # float32 numbers of an AVX register

_floats = types.Array(float32, 1, "C", readonly=True)
_numbers = types.Array(int32, 1, "C", readonly=True)
_places = types.Array(int64, 1, "C", readonly=True)
_exact = types.Array(float64, 1, "C", readonly=True)


def score(rows: np.ndarray, forest: Forest) -> np.ndarray:
    """See `forest.score`; rows and forest are not far."""
    n, d = rows.shape
    flat = np.ascontiguousarray(rows).reshape(-1)
    arrays = (
        forest.first, forest.points.reshape(-1), forest.masses, forest.children.reshape(-1),
        forest.dimensions, forest.cuts, forest.boxes.reshape(-1), forest.ranges,
    )  # fmt: skip
    totals = np.zeros(n)
    block = max(1, min(ROWS, VALUES // d))

    def part(start: int, stop: int) -> None:
        for at in range(start, stop, block):
            end = min(at + block, stop)
            _score(flat[at * d : end * d], d, *arrays, totals[at:end])

    work = forest.trees * DEPTH * 2 * d
    if n * work < ALONE:
        part(0, n)
    else:
        in_parts(part, n, work)
    totals *= forest.factor
    return totals


@njit(boolean(_floats, uint64, _floats, uint64, uint64), nogil=True, cache=True)
def _equal(rows: np.ndarray, row: np.uint64, points: np.ndarray, point: np.uint64, d: int) -> bool:
    for k in range(d):  # noqa: SIM110  compiled
        if rows[row + np.uint64(k)] != points[point + np.uint64(k)]:
            return False
    return True


@intrinsic
def _gap(typing: Any, rows: Any, row: Any, boxes: Any, box: Any, d: Any) -> Any:
    """g of the row and the box that begin at these places, summed lane by lane.

    LLVM's own vectors serve long loops: it would leave most of 10 or of 50 features to a scalar remainder.
    """
    vector, mask = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(1), LANES)
    number, numbers = ir.IntType(32), ir.VectorType(ir.IntType(32), LANES)
    zero, unknown = ir.Constant(vector, None), ir.Constant(vector, ir.Undefined)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tables = [context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in (0, 2)]
        width = arguments[4]
        x, low = (builder.gep(tables[k], [arguments[2 * k + 1]]) for k in (0, 1))
        high = builder.gep(low, [width])
        total = cgutils.alloca_once_value(builder, zero)  # type: ignore[no-untyped-call]

        def add(place: Any, load: Any) -> None:
            value, least, most = (
                load(builder.bitcast(builder.gep(start, [place]), vector.as_pointer()))
                for start in (x, low, high)
            )
            above = builder.select(builder.fcmp_ordered(">", least, value), least, value)
            below = builder.select(builder.fcmp_ordered("<", most, value), most, value)
            outside = builder.fsub(above, below)  # 0, to the bit, where the value lies between
            builder.store(builder.fadd(builder.load(total), outside), total)

        whole = builder.and_(width, width.type(-LANES))
        with cgutils.for_range_slice(builder, width.type(0), whole, width.type(LANES), width.type) as loop:
            add(loop[0], lambda pointer: builder.load(pointer, align=4))
        rest = builder.trunc(builder.sub(width, whole), number)
        with builder.if_then(builder.icmp_unsigned(">", rest, number(0))):
            first = builder.insert_element(ir.Constant(numbers, ir.Undefined), rest, number(0))
            count = builder.shuffle_vector(first, first, ir.Constant(numbers, [0] * LANES))
            lane_mask = builder.icmp_unsigned("<", ir.Constant(numbers, list(range(LANES))), count)
            kind = ir.FunctionType(vector, [vector.as_pointer(), number, mask, vector])
            name = f"llvm.masked.load.v{LANES}f32.p0"
            load = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
            add(whole, lambda pointer: builder.call(load, [pointer, number(4), lane_mask, zero]))
        lanes = builder.load(total)
        half = LANES // 2
        while half:  # halves onto each other
            rotation = ir.Constant(numbers, [(k + half) % LANES for k in range(LANES)])
            lanes = builder.fadd(lanes, builder.shuffle_vector(lanes, unknown, rotation))
            half //= 2
        return builder.extract_element(lanes, number(0))

    return float32(rows, uint64, boxes, uint64, uint64), generate


# Unsigned places spare the compiled code Python's counting from the end. No fastmath: it would reach the sums
# of `_gap`, where a row inside must come out as 0.
@njit(
    void(
        _floats, uint64, _places, _floats, _numbers, _numbers, _numbers, _floats, _floats, _exact,
        float64[::1],
    ),
    nogil=True,
    cache=True,
    error_model="numpy",
)  # fmt: skip
def _score(
    rows: np.ndarray,
    d: int,
    first: np.ndarray,
    points: np.ndarray,
    masses: np.ndarray,
    children: np.ndarray,
    dimensions: np.ndarray,
    cuts: np.ndarray,
    boxes: np.ndarray,
    ranges: np.ndarray,
    totals: np.ndarray,
) -> None:
    """Add every tree's E to the totals (n,); matrices come as vectors."""
    n = len(totals)
    largest = 0
    for tree in range(len(first) - 1):
        largest = max(largest, first[tree + 1] - first[tree])
    order = np.empty(n, np.uint32)  # of the rows: those of a node lie side by side
    spare = np.empty(n, np.uint32)
    inverses = np.empty(n)  # E
    # A node or leaf, its depth, and where its rows start and stop in `order`
    waiting = np.empty((largest + 1, 4), np.int64)
    visits = np.empty((2 * largest, 4), np.int64)  # in preorder; none below a node without rows
    under_way = np.empty((largest + 1, 2), np.int64)  # start, stop: what of a child's rows goes on up
    for tree in range(len(first) - 1):
        for k in range(n):
            order[k] = k
        several = first[tree + 1] - first[tree] > 1
        waiting[0, 0] = first[tree] - tree if several else ~first[tree]
        waiting[0, 1] = 0
        waiting[0, 2] = 0
        waiting[0, 3] = n
        left = np.uint64(1)  # entries of `waiting`, then of `under_way`
        count = np.uint64(0)
        while left > np.uint64(0):
            left -= np.uint64(1)
            if count == len(visits):  # a file may say anything
                raise ValueError("a node of the forest has two parents")
            number, depth = waiting[left, 0], waiting[left, 1]
            start, stop = np.uint64(waiting[left, 2]), np.uint64(waiting[left, 3])
            visits[count, 0] = number
            visits[count, 1] = depth
            visits[count, 2] = start
            visits[count, 3] = stop
            count += np.uint64(1)
            if start == stop:
                continue
            if number < 0:
                leaf = np.uint64(~number)
                same = depth + math.log2(masses[leaf])
                at_point = 1 / same if same > 0 else 1.0
                beside = 1 / (depth + 1)
                for place in range(start, stop):
                    i = np.uint64(order[np.uint64(place)])
                    inverses[i] = at_point if _equal(rows, i * d, points, leaf * d, d) else beside
                continue
            node = np.uint64(number)
            dimension, cut = np.uint64(dimensions[node]), cuts[node]
            middle, others = start, np.uint64(0)
            for place in range(start, stop):
                i = np.uint64(order[np.uint64(place)])
                right = np.uint64(rows[i * d + dimension] > cut)
                order[middle] = i
                spare[others] = i
                others += right
                middle += np.uint64(1) - right
            for place in range(others):
                order[middle + np.uint64(place)] = spare[np.uint64(place)]
            for side in range(2):
                waiting[left, 0] = children[node + node + np.uint64(1 - side)]
                waiting[left, 1] = depth + 1
                waiting[left, 2] = start if side else middle
                waiting[left, 3] = middle if side else stop
                left += np.uint64(1)
        for _ in range(count):
            count -= np.uint64(1)
            number, start = visits[count, 0], np.uint64(visits[count, 2])
            end = np.uint64(visits[count, 3])
            if number >= 0 and start < end:
                node = np.uint64(number)
                share = 1 / (visits[count, 1] + 1)
                size = ranges[node]
                end = start
                for _side in range(2):
                    left -= np.uint64(1)
                    for place in range(under_way[left, 0], under_way[left, 1]):
                        i = np.uint64(order[np.uint64(place)])
                        gap = np.float64(_gap(rows, i * d, boxes, node * (d + d), d))  # type: ignore[call-arg]
                        inverses[i] = (gap * share + size * inverses[i]) / (size + gap)
                        order[end] = i
                        end += np.uint64(gap > 0)
            under_way[left, 0] = start
            under_way[left, 1] = end
            left += np.uint64(1)
        left = np.uint64(0)
        for k in range(n):
            totals[np.uint64(k)] += inverses[np.uint64(k)]
