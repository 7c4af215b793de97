"""Steps of a trained recurrent network on CPUs, each fed with what it has drawn: sixteen paths at a time.

The paths of a block lie side by side in the lanes of a register, so that no width is padded and sixteen draws
are made at once. A block stays with its thread and its state in the nearest cache from the first step to the
last one. What does not depend on draws (`given`) was computed before, for all steps of a series at once.

Lines of a layer's operand `x`: its own state, w lines; then what comes from below: of the first layer lagged
values that are not known from the beginning, else the w outputs of the layer before.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float32, float64, int64, types, uint8, void

from optml.algorithms.kernels.forecast.sampling_cpu import gamma, keys_type, poisson
from optml.algorithms.kernels.machine.draws import GOLDEN, mix
from optml.algorithms.kernels.machine.functions import (
    cosine,
    exponential_less_one,
    logarithm,
    power,
    root,
    softplus,
)
from optml.algorithms.kernels.machine.simd import (
    LANES,
    compiled,
    divide,
    fill,
    load,
    multiply_add,
    store,
    zero,
)
from optml.algorithms.kernels.machine.tiles import TALL, tall_tile

GAUSSIAN, STUDENT, BINOMIAL, BETA, POINT = range(5)
EDGE = 1e-6

flags = types.Array(uint8, 2, "C")
flag_line = types.Array(uint8, 1, "C")
whole = types.Array(int64, 1, "C")
line_type = types.Array(float32, 1, "C")
table = types.Array(float32, 2, "C")
network_type = types.Tuple((table, table, table, line_type, int64, int64))  # type: ignore[no-untyped-call]
known_type = types.Tuple((table, flags, flags, line_type, whole))  # type: ignore[no-untyped-call]
block_type = types.Tuple((*[table] * 6, line_type, line_type, flag_line, flag_line))  # type: ignore[no-untyped-call]

_ONE, _TWO, _MINUS = np.float32(1), np.float32(2), np.float32(-1)
_DOWN = np.float32(-math.log2(math.e))
_DOWN_TWICE = np.float32(-2 * math.log2(math.e))
_HIGHEST = np.float32(42)  # exponent: the product of three such powers of two fits float32
_32, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@compiled([float64(float64)])
def softplus_of_one(x):  # type: ignore[no-untyped-def]
    return x if x > 30.0 else math.log1p(math.exp(x))


@compiled([float64(int64, float64, float64, float64, boolean, keys_type, int64)])
def value(kind, one, two, scale, drawing, keys, row):  # type: ignore[no-untyped-def]
    """A draw from the distribution with these raw outputs, or its mean: negative binomial, beta."""
    if kind == BINOMIAL:
        count = softplus_of_one(one)
        odds = math.exp(min(two + math.log(scale), 80.0))
        if drawing:
            return poisson(keys, row, gamma(keys, row, count) * odds)
        return count * odds
    alpha, beta = softplus_of_one(one) + EDGE, softplus_of_one(two) + EDGE
    if drawing:
        left = gamma(keys, row, alpha)
        right = gamma(keys, row, beta)
        return left / max(left + right, 1e-300)
    return alpha / (alpha + beta)


@compiled([void(int64, table, line_type, line_type, boolean, keys_type, int64, table, table, int64)])
def outcomes(kind, raw, scale, side, drawing, keys, row, numbers, history, step):  # type: ignore[no-untyped-def]
    """Line `step` of the history: draws of the distributions with raw outputs `raw` (o, 16), or their means.

    Student's t by Bailey's form of the polar method, Mathematics of Computation 62, 1994: with nu to infinity
    it is that of Box and Muller for the normal distribution. `side`: 1, or -1 to draw what lies as far on the
    other side of the middle.
    """
    if kind in (BINOMIAL, BETA):
        for lane in range(LANES):
            one, two = float64(raw[0, lane]), float64(raw[1, lane])
            history[step, lane] = value(kind, one, two, float64(scale[lane]), drawing, keys, row + lane)
        return
    scales, nothing = load(scale, 0), zero()
    result = multiply_add(scales, load(raw, 0), nothing)
    if drawing and kind != POINT:
        for lane in range(LANES):
            keys[row + lane] += GOLDEN
            number = mix(keys[row + lane])
            numbers[0, lane] = float32((float64(int64(number >> _32)) + 0.5) * 2.0**-32)
            numbers[1, lane] = float32(float64(int64(number & _LOW)) * 2.0**-32)
        square = multiply_add(fill(-_TWO), logarithm(load(numbers, 0)), nothing)
        if kind == STUDENT:
            nu = multiply_add(softplus(load(raw, 2)), fill(_ONE), fill(_TWO))
            square = multiply_add(nu, exponential_less_one(divide(square, nu)), nothing)
        noise = multiply_add(root(square), cosine(load(numbers, 1)), nothing)
        width = multiply_add(scales, softplus(load(raw, 1)), nothing)
        result = multiply_add(width, multiply_add(load(side, 0), noise, nothing), result)
    store(history, step, result)


@compiled([void(table, table, table, int64, int64, int64, boolean)])
def cells_of(gates, cells, x, width, layer, deep, adding):  # type: ignore[no-untyped-def]
    """A layer's next state, and its output where the next layer's operand has it.

    c = s(f) c + s(i) tanh(g) and h = s(o) tanh(c), s(x) = 1 / (1 + e^-x), each as one fraction: divisions
    take several times as long as products. In two loops, whose shorter chains a processor overlaps better.
    """
    one, none, most = fill(_ONE), zero(), fill(_HIGHEST)
    for cell in range(width):
        i = multiply_add(power(load(gates, cell), fill(_DOWN), most), one, one)
        f = multiply_add(power(load(gates, width + cell), fill(_DOWN), most), one, one)
        g = power(load(gates, 2 * width + cell), fill(_DOWN_TWICE), most)
        c = load(cells, layer * width + cell)
        both = multiply_add(multiply_add(g, one, one), i, none)
        above = multiply_add(multiply_add(g, fill(_MINUS), one), f, multiply_add(c, both, none))
        store(cells, layer * width + cell, divide(above, multiply_add(both, f, none)))
    for cell in range(width):
        o = multiply_add(power(load(gates, 3 * width + cell), fill(_DOWN), most), one, one)
        g = power(load(cells, layer * width + cell), fill(_DOWN_TWICE), most)
        below = multiply_add(o, multiply_add(g, one, one), none)
        h = divide(multiply_add(g, fill(_MINUS), one), below)
        store(x, layer * deep + cell, h)
        if adding:
            h = multiply_add(h, one, load(x, layer * deep + width + cell))
        store(x, (layer + 1) * deep + width + cell, h)


@compiled([void(network_type, known_type, whole, block_type, keys_type, boolean, int64, int64, int64)])
def walk(network, conditions, owner, block, keys, drawing, row, first, last):  # type: ignore[no-untyped-def]
    """Paths `row` to `row` + 15 from step `first` to before `last`; `begin` has come before."""
    biases, weights, head, head_bias, width, kind = network
    products, unknown, real, _, lags = conditions
    x, cells, gates, raw, history, numbers, scale, side, some, full = block
    steps = real.shape[1]
    layers = len(biases)
    deep = weights.shape[1] // TALL
    tiles = len(gates) // TALL
    together = owner[row] == owner[row + LANES - 1]
    for step in range(first, last):
        if not full[step]:  # a padded step begins with a state of zeros, and leaves one
            for lane in range(LANES):
                if not real[owner[row + lane], step]:
                    for layer in range(layers):
                        for cell in range(width):
                            x[layer * deep + cell, lane] = 0
                            cells[layer * width + cell, lane] = 0
        count = 0
        for place in range(len(lags)):
            then = step - lags[place]
            if then < 0:
                break
            if some[then]:
                count = place + 1
        for place in range(count):
            store(x, width + place, divide(load(history, step - lags[place]), load(scale, 0)))
        if together:
            source = owner[row] * steps + step
            for gate in range(4 * width):
                store(gates, gate, fill(products[source, gate]))
        else:
            for lane in range(LANES):
                source = owner[row + lane] * steps + step
                for gate in range(4 * width):
                    gates[gate, lane] = products[source, gate]
        for layer in range(layers):
            if layer:
                for gate in range(4 * width):
                    store(gates, gate, fill(biases[layer, gate]))
            depth = width + (width if layer else count)
            for tile in range(tiles):
                start = (layer * tiles + tile) * deep * TALL
                place = tile * TALL * LANES
                tall_tile(weights, start, 1, TALL, x, layer * deep * LANES, gates, place, LANES, depth)
            cells_of(gates, cells, x, width, layer, deep, layer > 0)
        if some[step]:
            for out in range(len(head_bias)):
                store(raw, out, fill(head_bias[out]))
            top = (layers * deep + width) * LANES
            tall_tile(head, 0, 1, TALL, x, top, raw, 0, LANES, width)
            outcomes(kind, raw, scale, side, drawing, keys, row, numbers, history, step)
            for lane in range(LANES):
                series = owner[row + lane]
                if not unknown[series, step] or not real[series, step]:
                    history[step, lane] = 0
        else:
            store(history, step, zero())


@compiled([void(known_type, whole, block_type, int64, int64)])
def begin(conditions, owner, block, row, last):  # type: ignore[no-untyped-def]
    """Fill in a block's scales, and of steps before `last` whether some value is unknown and all are real."""
    unknown, real, scales = conditions[1], conditions[2], conditions[3]
    scale, some, full = block[6], block[8], block[9]
    for lane in range(LANES):
        scale[lane] = scales[owner[row + lane]]
    some[:last] = 0
    full[:last] = 1
    for lane in range(LANES):
        series = owner[row + lane]
        if lane and series == owner[row + lane - 1]:
            continue
        for step in range(last):
            some[step] |= unknown[series, step] & real[series, step]
            full[step] &= real[series, step]


@compiled([void(network_type, known_type, whole, block_type, table, table, keys_type, int64, int64, int64)])
def encode(network, conditions, owner, block, states, values, keys, last, start, stop):  # type: ignore[no-untyped-def]
    """Series of blocks `start` to `stop`, from their first step to before `last`.

    states: (n, layers * 2 w) out: hidden and cell state, layer by layer.
    filled: (n, last) out: means where a value is not known, else 0.
    """
    biases, weights, _, _, width, _ = network
    x, cells, history = block[0], block[1], block[4]
    deep = weights.shape[1] // TALL
    for row in range(start * LANES, stop * LANES, LANES):
        x[:] = 0
        cells[:] = 0
        begin(conditions, owner, block, row, last)
        walk(network, conditions, owner, block, keys, False, row, 0, last)
        for lane in range(LANES):
            series = owner[row + lane]
            for layer in range(len(biases)):
                for cell in range(width):
                    states[series, 2 * layer * width + cell] = x[layer * deep + cell, lane]
                    states[series, (2 * layer + 1) * width + cell] = cells[layer * width + cell, lane]
            for step in range(last):
                values[series, step] = history[step, lane]


@compiled(
    [
        void(
            network_type, known_type, whole, block_type, table, table, keys_type, line_type, boolean, table,
            int64, int64,
        )
    ]
)  # fmt: skip
def sample(network, conditions, owner, block, states, values, keys, sides, drawing, paths, start, stop):  # type: ignore[no-untyped-def]
    """Paths of blocks `start` to `stop`, on from where `encode` left their series.

    paths: (rows, horizon) out.   keys: (rows,) of random numbers.   sides: (rows,) 1 or -1.
    """
    biases, weights, _, _, width, _ = network
    x, cells, history, side = block[0], block[1], block[4], block[7]
    deep = weights.shape[1] // TALL
    first, total = values.shape[1], conditions[2].shape[1]
    for row in range(start * LANES, stop * LANES, LANES):
        begin(conditions, owner, block, row, total)
        for lane in range(LANES):
            side[lane] = sides[row + lane]
            series = owner[row + lane]
            for layer in range(len(biases)):
                for cell in range(width):
                    x[layer * deep + cell, lane] = states[series, 2 * layer * width + cell]
                    cells[layer * width + cell, lane] = states[series, (2 * layer + 1) * width + cell]
            for step in range(first):
                history[step, lane] = values[series, step]
        walk(network, conditions, owner, block, keys, drawing, row, first, total)
        for lane in range(min(LANES, len(paths) - row)):
            for step in range(first, total):
                paths[row + lane, step - first] = history[step, lane]
