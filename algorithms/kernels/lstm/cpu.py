"""The recurrence of an LSTM layer on CPUs: four rows at a time through all steps, so that their state stays
in the nearest cache. Rows are independent of one another: threads take runs of them.

Widths are padded to whole cache lines (`simd.stride`); what lies beyond is zero and stays so. The four gates
of a step stand behind one another, each padded, in the order input, forget, candidate, output.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64, types, uint8, void

from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.machine.simd import (  # fmt: skip
    LANES,
    compiled,
    divide,
    exponential,
    fill,
    least,
    load,
    multiply_add,
    store,
    zero,
)

ROWS = 4

cube = types.Array(float32, 3, "C")
table = types.Array(float32, 2, "C")
flags = types.Array(uint8, 2, "C")
masks = types.Array(float32, 4, "C")
_lanes = simd._lanes

_MOST = np.float32(88)
_ONE = np.float32(1)


@compiled([_lanes(_lanes)], inline=True)
def negative(x):  # type: ignore[no-untyped-def]
    return multiply_add(x, fill(np.float32(-1)), zero())


@compiled([_lanes(_lanes)], inline=True)
def sigmoid(x):  # type: ignore[no-untyped-def]
    return divide(
        fill(_ONE), multiply_add(exponential(least(negative(x), fill(_MOST))), fill(_ONE), fill(_ONE))
    )


@compiled([_lanes(_lanes)], inline=True)
def hyperbolic(x):  # type: ignore[no-untyped-def]
    """tanh, to 2e-7."""
    return multiply_add(sigmoid(multiply_add(x, fill(_ONE), x)), fill(np.float32(2)), fill(np.float32(-1)))


@compiled([_lanes(_lanes, _lanes)], inline=True)
def product(x, y):  # type: ignore[no-untyped-def]
    return multiply_add(x, y, zero())


@compiled([_lanes(_lanes)], inline=True)
def rest(x):  # type: ignore[no-untyped-def]
    """1 - x."""
    return multiply_add(x, fill(np.float32(-1)), fill(_ONE))


@compiled([void(table, int64, int64, table, int64, table, int64)], inline=True)
def add_product(left, row, width, right, first, out, at):  # type: ignore[no-untyped-def]
    """out[at + r] += left[row + r, :width] @ right[first : first + width], for four rows r."""
    lines = right.shape[1] // LANES
    for line in range(0, lines - 1, 2):
        o0, o1, o2, o3 = (
            at * lines + line,
            (at + 1) * lines + line,
            (at + 2) * lines + line,
            (at + 3) * lines + line,
        )
        a0, a1, a2, a3 = load(out, o0), load(out, o1), load(out, o2), load(out, o3)
        b0, b1, b2, b3 = load(out, o0 + 1), load(out, o1 + 1), load(out, o2 + 1), load(out, o3 + 1)
        for k in range(width):
            u, v = load(right, (first + k) * lines + line), load(right, (first + k) * lines + line + 1)
            x0, x1, x2, x3 = (
                fill(left[row, k]), fill(left[row + 1, k]), fill(left[row + 2, k]), fill(left[row + 3, k]),
            )  # fmt: skip
            a0, b0 = multiply_add(x0, u, a0), multiply_add(x0, v, b0)
            a1, b1 = multiply_add(x1, u, a1), multiply_add(x1, v, b1)
            a2, b2 = multiply_add(x2, u, a2), multiply_add(x2, v, b2)
            a3, b3 = multiply_add(x3, u, a3), multiply_add(x3, v, b3)
        store(out, o0, a0), store(out, o1, a1), store(out, o2, a2), store(out, o3, a3)
        store(out, o0 + 1, b0), store(out, o1 + 1, b1), store(out, o2 + 1, b2), store(out, o3 + 1, b3)
    if lines & 1:
        line = lines - 1
        o0, o1, o2, o3 = (
            at * lines + line,
            (at + 1) * lines + line,
            (at + 2) * lines + line,
            (at + 3) * lines + line,
        )
        a0, a1, a2, a3 = load(out, o0), load(out, o1), load(out, o2), load(out, o3)
        for k in range(width):
            u = load(right, (first + k) * lines + line)
            a0 = multiply_add(fill(left[row, k]), u, a0)
            a1 = multiply_add(fill(left[row + 1, k]), u, a1)
            a2 = multiply_add(fill(left[row + 2, k]), u, a2)
            a3 = multiply_add(fill(left[row + 3, k]), u, a3)
        store(out, o0, a0), store(out, o1, a1), store(out, o2, a2), store(out, o3, a3)


@compiled([void(table, table, int64, flags, masks, int64, table, table, table, int64, int64)])
def forward(gates, weight, width, real, zoneout, zoned, activations, cells, hidden, start, stop):  # type: ignore[no-untyped-def]
    """Rows `start` to `stop`, whole fours, through all steps.

    gates:  (t * b, 4 s) what comes from below.   weight: (width, 4 s), recurrent.   real: (t, b) uint8.
    zoneout: (2, t, b, s) 1 where h and c keep their previous value; not looked at unless `zoned`.
    activations: (t * b, 4 s) out: the gates as they came.   cells, hidden: (t * b, s) out.
    """
    steps, batch = real.shape
    lines = weight.shape[1] // LANES
    quarter = lines // 4
    size = steps * batch
    for row in range(start, stop, ROWS):
        for step in range(steps):
            at = step * batch + row
            for line in range(at * lines, (at + ROWS) * lines):
                store(activations, line, load(gates, line))
            if step:
                add_product(hidden, at - batch, width, weight, 0, activations, at)
            for r in range(at, at + ROWS):
                continues = step > 0 and real[step, r - step * batch] != 0
                if not continues:  # nothing comes from the step before
                    for line in range(r * lines, (r + 1) * lines):
                        store(activations, line, load(gates, line))
                for line in range(quarter):
                    here = r * lines + line
                    i = sigmoid(load(activations, here))
                    f = sigmoid(load(activations, here + quarter))
                    g = hyperbolic(load(activations, here + 2 * quarter))
                    o = sigmoid(load(activations, here + 3 * quarter))
                    store(activations, here, i)
                    store(activations, here + quarter, f)
                    store(activations, here + 2 * quarter, g)
                    store(activations, here + 3 * quarter, o)
                    old = (r - batch) * quarter + line
                    before = load(cells, old) if continues else zero()
                    c = multiply_add(f, before, product(i, g))
                    h = product(o, hyperbolic(c))
                    new = r * quarter + line
                    if zoned:
                        last = load(hidden, old) if continues else zero()
                        kh, kc = load(zoneout, new), load(zoneout, size * quarter + new)
                        h = multiply_add(kh, last, product(rest(kh), h))
                        c = multiply_add(kc, before, product(rest(kc), c))
                    store(cells, new, c)
                    store(hidden, new, h)


@compiled([void(table, table, flags, masks, int64, table, table, table, table, table, int64, int64)])
def backward(  # type: ignore[no-untyped-def]
    weight, above, real, zoneout, zoned, activations, cells, to_hidden, to_cells, below, start, stop
):
    """The gradient of `forward`, from the last step to the first.

    weight: (4 s, s), recurrent, transposed.   above: (t * b, s) gradient of `hidden`.
    to_hidden, to_cells: (b, s) scratch: the gradients that the state of the step before gets.
    below:  (t * b, 4 s) out: gradient of `gates`.
    """
    steps, batch = real.shape
    lines = weight.shape[0] // LANES
    quarter = lines // 4
    size = steps * batch
    for row in range(start, stop, ROWS):
        for line in range(row * quarter, (row + ROWS) * quarter):
            store(to_hidden, line, zero())
            store(to_cells, line, zero())
        for back in range(steps):
            step = steps - 1 - back
            at = step * batch + row
            for r in range(at, at + ROWS):
                own = (r - step * batch) * quarter
                continues = step > 0 and real[step, r - step * batch] != 0
                for line in range(quarter):
                    here = r * lines + line
                    i, f = load(activations, here), load(activations, here + quarter)
                    g, o = load(activations, here + 2 * quarter), load(activations, here + 3 * quarter)
                    before = load(cells, (r - batch) * quarter + line) if continues else zero()
                    t = hyperbolic(multiply_add(f, before, product(i, g)))
                    dh = multiply_add(
                        load(above, r * quarter + line), fill(_ONE), load(to_hidden, own + line)
                    )
                    dc = load(to_cells, own + line)
                    past_h, past_c = zero(), zero()
                    if zoned:
                        kh, kc = load(zoneout, r * quarter + line), load(zoneout, (size + r) * quarter + line)
                        past_h, past_c = product(kh, dh), product(kc, dc)
                        dh, dc = product(rest(kh), dh), product(rest(kc), dc)
                    dc = multiply_add(product(dh, o), rest(product(t, t)), dc)
                    store(below, here, product(product(dc, g), product(i, rest(i))))
                    store(below, here + quarter, product(product(dc, before), product(f, rest(f))))
                    store(below, here + 2 * quarter, product(product(dc, i), rest(product(g, g))))
                    store(below, here + 3 * quarter, product(product(dh, t), product(o, rest(o))))
                    store(to_hidden, own + line, past_h)
                    store(to_cells, own + line, multiply_add(dc, f, past_c))
            if step:
                add_product(below, at, weight.shape[0], weight, 0, to_hidden, row)
            for r in range(row, row + ROWS):
                if not real[step, r]:
                    for line in range(r * quarter, (r + 1) * quarter):
                        store(to_hidden, line, zero())
                        store(to_cells, line, zero())
