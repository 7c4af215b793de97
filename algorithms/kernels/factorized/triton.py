"""Factorization machines on a GPU: one program a row for scores, one program a feature for the rest.

`_score`     a program takes one row and walks over its entries, ENTRIES at a time, with LANES factors across;
             score, slope and tallies of the row come out of the same program.
`_learn`     a program takes one feature that the batch touches, adds up the gradient over its entries
             (`View` lists them: no atomics) and takes Adam's step on its row; one more does the bias.
`_gradient`  the first half of `_learn` alone, for sums over hosts; `_apply` the second half.
`_judge`     slopes and tallies of scores that matrix products gave.

Shapes and dtypes as in `factorized.py`; k may be any number.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.factorized.terms import BETA1, BETA2, TALLIES, FactorState, Forward, Step, View

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy

B1, B2 = tl.constexpr(BETA1), tl.constexpr(BETA2)
SLOTS = tl.constexpr(TALLIES)


def score(state: FactorState, view: View, labels: Tensor, classifier: bool) -> Forward:
    """See `factorized.score`."""
    n, k, device = len(view), state.rows.shape[1] - 1, state.rows.device
    sums, scores = torch.empty(n, k, device=device), torch.empty(n, device=device)
    slopes, tallies = torch.empty(n, device=device), torch.empty(n, TALLIES, device=device)
    if n:
        entries = min(16, triton.next_power_of_2(-(-len(view.places) // n) or 1))
        _score[(n,)](
            view.starts, view.places, view.values, state.rows, state.bias, labels, sums, scores, slopes,
            tallies, k, CLASSIFIER=classifier, ENTRIES=entries, LANES=_lanes(k), num_warps=1,
        )  # fmt: skip
    return Forward(sums, scores, slopes, tallies.sum(0, dtype=torch.float64))


def judge(scores: Tensor, pairs: Tensor, labels: Tensor, classifier: bool) -> tuple[Tensor, Tensor]:
    """See `factorized_cpu.judge`."""
    n = len(scores)
    slopes = torch.empty(n, device=scores.device)
    tallies = torch.empty(n, TALLIES, device=scores.device)
    if n:
        scores, pairs = scores.float().contiguous(), pairs.float().contiguous()
        _judge[(triton.cdiv(n, 256),)](scores, pairs, labels, slopes, tallies, n, classifier, ROWS=256)
    return slopes, tallies.sum(0, dtype=torch.float64)


def learn(state: FactorState, view: View, forward: Forward, step: Step) -> None:
    """See `factorized.learn`."""
    k, count = state.rows.shape[1] - 1, len(view.distinct)
    _learn[(count + 1,)](
        view.distinct, view.bounds, view.rows, view.column, forward.sums, forward.slopes,
        state.rows, state.means, state.squares, state.bias, count, len(view), k, *_numbers(step),
        ENTRIES=16, LANES=_lanes(k), num_warps=1,
    )  # fmt: skip


def gradient(state: FactorState, view: View, forward: Forward) -> Tensor:
    """See `factorized.gradient`."""
    k, count = state.rows.shape[1] - 1, len(view.distinct)
    gradients = torch.empty(count, k + 1, device=state.rows.device)
    if count:
        _gradient[(count,)](
            view.distinct, view.bounds, view.rows, view.column, forward.sums, forward.slopes, state.rows,
            gradients, k, ENTRIES=16, LANES=_lanes(k), num_warps=1,
        )  # fmt: skip
    return gradients


def apply(state: FactorState, places: Tensor, gradients: Tensor, slope: Tensor, step: Step) -> None:
    """See `factorized.apply`."""
    k, count = state.rows.shape[1] - 1, len(places)
    _apply[(count + 1,)](
        places, gradients.contiguous(), slope, state.rows, state.means, state.squares, state.bias,
        count, k, *_numbers(step), LANES=_lanes(k), num_warps=1,
    )  # fmt: skip


def _lanes(k: int) -> int:
    return min(256, int(triton.next_power_of_2(k)))


def _numbers(step: Step) -> tuple[float, ...]:
    return (*step.rates, *step.decays, step.rescale, step.clip, step.epsilon)


@triton.jit
def _tell(tallies, slopes, at, score, pair, label, inside, CLASSIFIER: tl.constexpr):
    """Write the slopes and tallies of rows at `at`."""
    if CLASSIFIER:
        small = tl.exp(-tl.abs(score))
        likely = score >= 0
        slope = tl.where(likely, 1.0, small) / (1.0 + small) - label
        positive = tl.where(likely, 1.0, 0.0)
        loss = tl.maximum(score, 0.0) - score * label + tl.log(1.0 + small)
        second = tl.where(positive == label, 1.0, 0.0)
        hits, positives = positive * label, positive + label
    else:
        slope = score - label
        loss, second = slope * slope, tl.abs(slope)
        hits, positives = slope * 0, slope * 0
    tl.store(slopes + at, slope, mask=inside)
    to = tallies + at * SLOTS
    tl.store(to, slope * 0 + 1.0, mask=inside)
    tl.store(to + 1, loss, mask=inside)
    tl.store(to + 2, second, mask=inside)
    tl.store(to + 3, hits, mask=inside)
    tl.store(to + 4, positives, mask=inside)
    tl.store(to + 5, score, mask=inside)
    tl.store(to + 6, score * score, mask=inside)
    tl.store(to + 7, pair, mask=inside)
    tl.store(to + 8, pair * pair, mask=inside)


@triton.jit(do_not_specialize=["n"])
def _judge(
    scores, pairs, labels, slopes, tallies, n, CLASSIFIER: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < n
    score, pair = tl.load(scores + row, mask=inside, other=0.0), tl.load(pairs + row, mask=inside, other=0.0)
    label = tl.load(labels + row, mask=inside, other=0.0)
    _tell(tallies, slopes, row.to(tl.int64), score, pair, label, inside, CLASSIFIER)


@triton.jit
def _score(
    starts, places, values, table, bias, labels, sums, scores, slopes, tallies, k,
    CLASSIFIER: tl.constexpr, ENTRIES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(starts + i), tl.load(starts + i + 1)
    linear = tl.zeros((ENTRIES,), tl.float32)
    total = tl.zeros((LANES,), tl.float32)
    for first in range(0, k, LANES):
        f = first + tl.arange(0, LANES)
        s = tl.zeros((LANES,), tl.float32)
        q = tl.zeros((LANES,), tl.float32)
        for begin in range(start, stop, ENTRIES):
            e = begin + tl.arange(0, ENTRIES)
            x = tl.load(values + e, mask=e < stop, other=0.0)
            row = tl.load(places + e, mask=e < stop, other=0).to(tl.int64) * (k + 1)
            inside = (e < stop)[:, None] & (f < k)[None, :]
            product = x[:, None] * tl.load(table + row[:, None] + f[None, :], mask=inside, other=0.0)
            s += tl.sum(product, axis=0)
            q += tl.sum(product * product, axis=0)
            if first == 0:
                linear += x * tl.load(table + row + k, mask=e < stop, other=0.0)
        tl.store(sums + i * k + f, s, mask=f < k)
        total += s * s - q
    pair = 0.5 * tl.sum(total, axis=0)
    score = tl.load(bias).to(tl.float32) + tl.sum(linear, axis=0) + pair
    tl.store(scores + i, score)
    _tell(tallies, slopes, i, score, pair, tl.load(labels + i), i >= 0, CLASSIFIER)


@triton.jit
def _steepness(start, stop, rows, column, slopes, ENTRIES: tl.constexpr):
    """Over a feature's entries: the sums of slope * x and of slope * x^2."""
    weight = tl.zeros((ENTRIES,), tl.float32)
    own = tl.zeros((ENTRIES,), tl.float32)
    for begin in range(start, stop, ENTRIES):
        e = begin + tl.arange(0, ENTRIES)
        x = tl.load(column + e, mask=e < stop, other=0.0)
        steep = x * tl.load(slopes + tl.load(rows + e, mask=e < stop, other=0), mask=e < stop, other=0.0)
        weight += steep
        own += steep * x
    return tl.sum(weight, axis=0), tl.sum(own, axis=0)


@triton.jit
def _cross(start, stop, rows, column, slopes, sums, k, f, ENTRIES: tl.constexpr, LANES: tl.constexpr):
    """Over a feature's entries: the sum of slope * x * s at the factors `f`."""
    total = tl.zeros((LANES,), tl.float32)
    for begin in range(start, stop, ENTRIES):
        e = begin + tl.arange(0, ENTRIES)
        i = tl.load(rows + e, mask=e < stop, other=0).to(tl.int64)
        x = tl.load(column + e, mask=e < stop, other=0.0)
        steep = x * tl.load(slopes + i, mask=e < stop, other=0.0)
        inside = (e < stop)[:, None] & (f < k)[None, :]
        s = tl.load(sums + i[:, None] * k + f[None, :], mask=inside, other=0.0)
        total += tl.sum(steep[:, None] * s, axis=0)
    return total


@triton.jit
def _adam(table, means, squares, at, gradient, inside, rate, decay, rescale, clip, epsilon):
    """One step at the offsets `at`."""
    w = tl.load(table + at, mask=inside, other=0.0)
    g = tl.minimum(tl.maximum(rescale * gradient + decay * w, -clip), clip)
    mean = B1 * tl.load(means + at, mask=inside, other=0.0) + (1 - B1) * g
    square = B2 * tl.load(squares + at, mask=inside, other=0.0) + (1 - B2) * g * g
    tl.store(means + at, mean, mask=inside)
    tl.store(squares + at, square, mask=inside)
    tl.store(table + at, w - rate * mean / (tl.sqrt(square) + epsilon), mask=inside)


@triton.jit
def _learn_bias(bias, slope, rate, decay, rescale, clip, epsilon):
    one = tl.arange(0, 1)
    _adam(bias, bias + 1, bias + 2, one, slope, one == 0, rate, decay, rescale, clip, epsilon)


@triton.jit(do_not_specialize=["count", "n"])
def _learn(
    places, bounds, rows, column, sums, slopes, table, means, squares, bias, count, n, k,
    rate, weight_rate, bias_rate, decay, weight_decay, bias_decay, rescale, clip, epsilon,
    ENTRIES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    u = tl.program_id(0)
    if u == count:
        total = tl.zeros((256,), tl.float64)
        for begin in range(0, n, 256):
            i = begin + tl.arange(0, 256)
            total += tl.load(slopes + i, mask=i < n, other=0.0).to(tl.float64)
        _learn_bias(bias, tl.sum(total, axis=0), bias_rate, bias_decay, rescale, clip, epsilon)
    else:
        start, stop = tl.load(bounds + u), tl.load(bounds + u + 1)
        row = tl.load(places + u).to(tl.int64) * (k + 1)
        weight, own = _steepness(start, stop, rows, column, slopes, ENTRIES)
        for first in range(0, k, LANES):
            f = first + tl.arange(0, LANES)
            gradient = _cross(start, stop, rows, column, slopes, sums, k, f, ENTRIES, LANES)
            gradient -= own * tl.load(table + row + f, mask=f < k, other=0.0)
            _adam(table, means, squares, row + f, gradient, f < k, rate, decay, rescale, clip, epsilon)
        one = tl.arange(0, 1)
        _adam(
            table, means, squares, row + k + one, weight, one == 0,
            weight_rate, weight_decay, rescale, clip, epsilon,
        )  # fmt: skip


@triton.jit
def _gradient(
    places, bounds, rows, column, sums, slopes, table, gradients, k,
    ENTRIES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    u = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(bounds + u), tl.load(bounds + u + 1)
    row = tl.load(places + u).to(tl.int64) * (k + 1)
    weight, own = _steepness(start, stop, rows, column, slopes, ENTRIES)
    for first in range(0, k, LANES):
        f = first + tl.arange(0, LANES)
        gradient = _cross(start, stop, rows, column, slopes, sums, k, f, ENTRIES, LANES)
        gradient -= own * tl.load(table + row + f, mask=f < k, other=0.0)
        tl.store(gradients + u * (k + 1) + f, gradient, mask=f < k)
    tl.store(gradients + u * (k + 1) + k, weight)


@triton.jit(do_not_specialize=["count"])
def _apply(
    places, gradients, slope, table, means, squares, bias, count, k,
    rate, weight_rate, bias_rate, decay, weight_decay, bias_decay, rescale, clip, epsilon,
    LANES: tl.constexpr,
):  # fmt: skip
    u = tl.program_id(0).to(tl.int64)
    if u == count:
        _learn_bias(bias, tl.load(slope), bias_rate, bias_decay, rescale, clip, epsilon)
    else:
        row = tl.load(places + u).to(tl.int64) * (k + 1)
        for first in range(0, k + 1, LANES):
            f = first + tl.arange(0, LANES)
            gradient = tl.load(gradients + u * (k + 1) + f, mask=f <= k, other=0.0)
            each_rate, each_decay = tl.where(f < k, rate, weight_rate), tl.where(f < k, decay, weight_decay)
            _adam(
                table,
                means,
                squares,
                row + f,
                gradient,
                f <= k,
                each_rate,
                each_decay,
                rescale,
                clip,
                epsilon,
            )
