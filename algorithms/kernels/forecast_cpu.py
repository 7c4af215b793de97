"""Steps of a trained recurrent network on CPUs, each fed with what it has drawn: four paths at a time.

A path stays with its thread and its state in the nearest cache from the first step to the last. What does not
depend on draws (`given`) was computed before, for all steps of a series at once.
"""

from __future__ import annotations

import math

from numba import boolean, float32, float64, int64, types, uint8, void

from algorithms.kernels.lstm_cpu import ROWS, add_product, hyperbolic, product, sigmoid, table
from algorithms.kernels.sampling_cpu import gamma, keys_type, normal, poisson
from algorithms.kernels.simd import LANES, add_up, compiled, fill, load, multiply_add, store, zero

GAUSSIAN, STUDENT, BINOMIAL, BETA, POINT = range(5)
EDGE = 1e-6

flags = types.Array(uint8, 2, "C")
whole = types.Array(int64, 1, "C")
line_type = types.Array(float32, 1, "C")


@compiled([float64(float64)])
def softplus(x):  # type: ignore[no-untyped-def]
    return x if x > 30.0 else math.log1p(math.exp(x))


@compiled([float64(int64, line_type, float64, boolean, keys_type, int64)])
def value(kind, raw, scale, drawing, keys, row):  # type: ignore[no-untyped-def]
    """A draw from the distribution with these raw outputs, or its mean."""
    if kind == BINOMIAL:
        count = softplus(raw[0])
        odds = math.exp(min(raw[1] + math.log(scale), 80.0))
        if drawing:
            return poisson(keys, row, gamma(keys, row, count) * odds)
        return count * odds
    if kind == BETA:
        alpha, beta = softplus(raw[0]) + EDGE, softplus(raw[1]) + EDGE
        if drawing:
            one = gamma(keys, row, alpha)
            other = gamma(keys, row, beta)
            return one / max(one + other, 1e-300)
        return alpha / (alpha + beta)
    middle = scale * raw[0]
    if not drawing or kind == POINT:
        return middle
    width = scale * softplus(raw[1])
    if kind == STUDENT:
        nu = 2.0 + softplus(raw[2])
        width *= math.sqrt(0.5 * nu / gamma(keys, row, 0.5 * nu))
    return middle + width * normal(keys, row)


@compiled(
    [
        void(
            table, table, whole, flags, flags, line_type, table, table, table, table, line_type, int64, int64,
            whole, table, table, table, keys_type, int64, int64, boolean, table, table, table, whole,
            line_type, int64, int64,
        )
    ]
)  # fmt: skip
def advance(  # type: ignore[no-untyped-def]
    given, lag_weight, lags, unknown, real, scale, biases, inputs, recurrent, head, head_bias, width, kind,
    owner, hidden, cells, paths, keys, first, last, drawing, gates, below, values, which, raw,
    start, stop,
):  # fmt: skip
    """Paths `start` to `stop`, whole fours, from step `first` to before `last`.

    given:      (n * t, 4 s) gates of the first layer: of all that is known of a step.
    lag_weight: (l, 4 s).   lags: (l,) ascending.   unknown, real: (n, t).   scale: (n,).
    biases:     (layers, 4 s); of the first layer part of `given`.   inputs, recurrent: (layers * s, 4 s).
    head:       (o, s).   owner: (rows,) the series of each path.
    hidden, cells: (layers * rows, s) in and out.   paths: (rows, t): what was drawn where unknown.
    gates (4, 4 s), below (4, s), values (4, l), which (l,), raw (o,): scratch.
    """
    steps = real.shape[1]
    rows = len(owner)
    layers = len(biases)
    lines = lag_weight.shape[1] // LANES
    quarter = lines // 4
    stride = quarter * LANES
    for row in range(start, stop, ROWS):
        for step in range(first, last):
            count = 0
            for place in range(len(lags)):
                then = step - lags[place]
                if then < 0:
                    break
                some = False
                for r in range(ROWS):
                    series = owner[row + r]
                    values[r, count] = 0
                    if unknown[series, then] and real[series, then]:
                        values[r, count] = paths[row + r, then] / scale[series]
                        some = True
                if some:
                    which[count] = place
                    count += 1
            for r in range(ROWS):
                source = owner[row + r] * steps + step
                for line in range(lines):
                    store(gates, r * lines + line, load(given, source * lines + line))
            for picked in range(count):
                base = which[picked] * lines
                for r in range(ROWS):
                    x = fill(values[r, picked])
                    for line in range(lines):
                        at = r * lines + line
                        store(gates, at, multiply_add(x, load(lag_weight, base + line), load(gates, at)))
            for layer in range(layers):
                if layer:
                    for r in range(ROWS):
                        for line in range(lines):
                            store(gates, r * lines + line, load(biases, layer * lines + line))
                    add_product(below, 0, width, inputs, layer * stride, gates, 0)
                own = layer * rows + row
                if step:
                    add_product(hidden, own, width, recurrent, layer * stride, gates, 0)
                for r in range(ROWS):
                    there = real[owner[row + r], step]
                    for line in range(quarter):
                        at = (own + r) * quarter + line
                        if not there:
                            store(cells, at, zero())
                            store(hidden, at, zero())
                            store(below, r * quarter + line, zero())
                            continue
                        gate = r * lines + line
                        i = sigmoid(load(gates, gate))
                        f = sigmoid(load(gates, gate + quarter))
                        g = hyperbolic(load(gates, gate + 2 * quarter))
                        o = sigmoid(load(gates, gate + 3 * quarter))
                        c = multiply_add(f, load(cells, at), product(i, g))
                        h = product(o, hyperbolic(c))
                        store(cells, at, c)
                        store(hidden, at, h)
                        if layer:
                            h = multiply_add(fill(float32(1)), h, load(below, r * quarter + line))
                        store(below, r * quarter + line, h)
            for r in range(ROWS):
                series = owner[row + r]
                if not unknown[series, step] or not real[series, step]:
                    continue
                for out in range(len(head)):
                    total = zero()
                    for line in range(quarter):
                        total = multiply_add(
                            load(head, out * quarter + line), load(below, r * quarter + line), total
                        )
                    raw[out] = add_up(total) + head_bias[out]
                paths[row + r, step] = value(kind, raw, float64(scale[series]), drawing, keys, row + r)
