"""The step of `pairs.py` on a GPU: matrix products by torch, the rest one program a row.

`_add_prefixes`  a program takes one address and adds its prefixes' vectors to that of its bits.
`_meet`          a program takes one address and walks over its samples: reads each one's entity once, writes
                 its slope, loss and whether it was right, and adds up the gradient of the address's vector.
`_score`         the first half of that.
`_learn`         a program takes one row that the batch touches, adds up its gradient over the addresses that
                 `Groups` lists (no atomics), and takes Adam's step on it.
`_gradients`     the first half of `_learn` alone, for sums over hosts; `_apply` the second half.

Shapes and dtypes as in `pairs.py`.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.pairs.terms import (
    BETA1,
    BETA2,
    BITS,
    EPSILON,
    Encoder,
    Gradient,
    Groups,
    PairState,
    Step,
    View,
)

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy

B1, B2, EPS = tl.constexpr(BETA1), tl.constexpr(BETA2), tl.constexpr(EPSILON)


def gradient(state: PairState, view: View) -> Gradient:
    """See `pairs.gradient`."""
    dense, device = state.dense[0], state.dense.device
    encoder = Encoder(state)
    signs, layers = _encode(encoder, state, view)
    outputs = layers[-1]
    count, width = outputs.shape
    n = len(view.rows)
    slopes = torch.empty(n, device=device)
    tallies = torch.ones(3, n, device=device)
    back = torch.empty_like(outputs)
    if count:
        _meet[(count,)](
            view.bounds, view.rows, view.labels, state.entities, outputs, back, slopes, tallies[1],
            tallies[2], width, **_block(width),
        )  # fmt: skip
    gradients = torch.zeros_like(dense)
    back = encoder.go_back(layers, back, gradients)
    encoder.unfold(signs.T @ back, back.sum(0), gradients)
    inputs = back.contiguous() if len(state.prefixes) else back[:0]
    sums = tallies.sum(1, dtype=torch.float64)
    return Gradient(outputs, inputs, slopes[view.members.long()], gradients, sums)


def score(state: PairState, view: View) -> Tensor:
    """See `pairs.score`."""
    _, layers = _encode(Encoder(state), state, view)
    count, width = layers[-1].shape
    scores = torch.empty(len(view.rows), device=state.dense.device)
    if count:
        _score[(count,)](view.bounds, view.rows, state.entities, layers[-1], scores, width, **_block(width))
    return scores


def learn_rows(table: Tensor, groups: Groups, slopes: Tensor, vectors: Tensor, step: Step) -> None:
    """See `cpu.learn_rows`."""
    if len(groups.rows):
        width = table.shape[2]
        _learn[(len(groups.rows),)](
            groups.rows, groups.rates, groups.bounds, groups.places, _weights(groups, slopes), vectors,
            table, width, step.rate, step.decay, step.rescale, **_block(width),
        )  # fmt: skip


def row_gradients(groups: Groups, slopes: Tensor, vectors: Tensor) -> Tensor:
    """See `pairs.row_gradients`."""
    width = vectors.shape[1]
    gradients = torch.empty(len(groups.rows), width, device=vectors.device)
    if len(gradients):
        _gradients[(len(gradients),)](
            groups.bounds, groups.places, _weights(groups, slopes), vectors, gradients, width, **_block(width)
        )
    return gradients


def apply_rows(table: Tensor, rows: Tensor, rates: Tensor, gradients: Tensor, step: Step) -> None:
    """See `pairs.apply_rows`."""
    if len(rows):
        width = table.shape[2]
        _apply[(len(rows),)](
            rows, rates, gradients.contiguous(), table, width, width, width, 3 * width,
            step.rate, step.decay, step.rescale, **_block(width),
        )  # fmt: skip


def apply_dense(dense: Tensor, gradients: Tensor, step: Step) -> None:
    """See `pairs.apply_dense`."""
    count, width = gradients.shape
    every = torch.arange(count, dtype=torch.int32, device=dense.device)
    rates = torch.ones(count, device=dense.device)
    _apply[(count,)](
        every, rates, gradients.contiguous(), dense, width, count * width, count * width, width,
        step.rate, step.decay, step.rescale, **_block(width),
    )  # fmt: skip


def _encode(encoder: Encoder, state: PairState, view: View) -> tuple[Tensor, list[Tensor]]:
    """The bits (m, 32) of the addresses, and their vectors up to the last."""
    shifts = torch.arange(BITS - 1, -1, -1, dtype=torch.int32, device=state.dense.device)
    signs = ((view.addresses[:, None] >> shifts) & 1).float() * 2 - 1
    first = signs @ encoder.map
    count, prefixes = view.prefix_rows.shape
    if count and prefixes:
        width = first.shape[1]
        _add_prefixes[(count,)](
            view.prefix_rows, state.prefixes, first, width, PREFIXES=prefixes, **_block(width)
        )
    return signs, encoder.encode(first)


def _weights(groups: Groups, slopes: Tensor) -> Tensor:
    return torch.ones(len(groups.places), device=groups.places.device) if slopes is None else slopes


def _block(width: int) -> dict[str, int]:
    return {"LANES": min(512, triton.next_power_of_2(width)), "num_warps": 1}


@triton.jit
def _add_prefixes(prefix_rows, table, first, width, PREFIXES: tl.constexpr, LANES: tl.constexpr):
    a = tl.program_id(0).to(tl.int64)
    for begin in range(0, width, LANES):
        f = begin + tl.arange(0, LANES)
        total = tl.load(first + a * width + f, mask=f < width, other=0.0)
        for p in tl.static_range(PREFIXES):
            row = tl.load(prefix_rows + a * PREFIXES + p).to(tl.int64)
            total += tl.load(table + 3 * row * width + f, mask=f < width, other=0.0)
        tl.store(first + a * width + f, total, mask=f < width)


@triton.jit
def _dot(entity, vector, width, LANES: tl.constexpr):
    total = tl.zeros((LANES,), tl.float32)
    for begin in range(0, width, LANES):
        f = begin + tl.arange(0, LANES)
        total += tl.load(entity + f, mask=f < width, other=0.0) * tl.load(
            vector + f, mask=f < width, other=0.0
        )
    return tl.sum(total, axis=0)


@triton.jit
def _meet(
    bounds, rows, labels, entities, vectors, back, slopes, losses, right, width, LANES: tl.constexpr
):  # fmt: skip
    a = tl.program_id(0).to(tl.int64)
    start, stop = tl.load(bounds + a), tl.load(bounds + a + 1)
    for s in range(start, stop):
        entity = entities + 3 * tl.load(rows + s).to(tl.int64) * width
        z = _dot(entity, vectors + a * width, width, LANES)
        label = tl.load(labels + s)
        small = tl.exp(-tl.abs(z))
        tl.store(slopes + s, tl.where(z >= 0, 1.0, small) / (1.0 + small) - label)
        tl.store(losses + s, tl.maximum(z, 0.0) - z * label + tl.log(1.0 + small))
        tl.store(right + s, tl.where((z > 0) == (label > 0), 1.0, 0.0))
    tl.debug_barrier()  # the slopes are read again
    for begin in range(0, width, LANES):
        f = begin + tl.arange(0, LANES)
        total = tl.zeros((LANES,), tl.float32)
        for s in range(start, stop):
            entity = entities + 3 * tl.load(rows + s).to(tl.int64) * width
            total += tl.load(slopes + s) * tl.load(entity + f, mask=f < width, other=0.0)
        tl.store(back + a * width + f, total, mask=f < width)


@triton.jit
def _score(bounds, rows, entities, vectors, scores, width, LANES: tl.constexpr):
    a = tl.program_id(0).to(tl.int64)
    for s in range(tl.load(bounds + a), tl.load(bounds + a + 1)):
        entity = entities + 3 * tl.load(rows + s).to(tl.int64) * width
        tl.store(scores + s, _dot(entity, vectors + a * width, width, LANES))


@triton.jit
def _collect(u, bounds, places, weights, vectors, width, f):
    """The gradient of the u-th row that is touched, at the columns `f`."""
    total = f * 0.0
    for j in range(tl.load(bounds + u), tl.load(bounds + u + 1)):
        place = tl.load(places + j).to(tl.int64)
        total += tl.load(weights + j) * tl.load(vectors + place * width + f, mask=f < width, other=0.0)
    return total


@triton.jit
def _adam(values, means, squares, gradient, inside, rate, decay, rescale):
    w = tl.load(values, mask=inside, other=0.0)
    g = rescale * gradient + decay * w
    mean = B1 * tl.load(means, mask=inside, other=0.0) + (1 - B1) * g
    square = B2 * tl.load(squares, mask=inside, other=0.0) + (1 - B2) * g * g
    tl.store(means, mean, mask=inside)
    tl.store(squares, square, mask=inside)
    tl.store(values, w - rate * mean / (tl.sqrt(square) + EPS), mask=inside)


@triton.jit
def _learn(
    rows, rates, bounds, places, weights, vectors, table, width, rate, decay, rescale, LANES: tl.constexpr
):  # fmt: skip
    u = tl.program_id(0).to(tl.int64)
    row = table + 3 * tl.load(rows + u).to(tl.int64) * width
    rate *= tl.load(rates + u)
    for begin in range(0, width, LANES):
        f = begin + tl.arange(0, LANES)
        gradient = _collect(u, bounds, places, weights, vectors, width, f)
        at = row + f
        _adam(at, at + width, at + 2 * width, gradient, f < width, rate, decay, rescale)


@triton.jit
def _gradients(bounds, places, weights, vectors, gradients, width, LANES: tl.constexpr):
    u = tl.program_id(0).to(tl.int64)
    for begin in range(0, width, LANES):
        f = begin + tl.arange(0, LANES)
        total = _collect(u, bounds, places, weights, vectors, width, f)
        tl.store(gradients + u * width + f, total, mask=f < width)


@triton.jit
def _apply(
    rows, rates, gradients, table, width, to_means, to_squares, stride, rate, decay, rescale,
    LANES: tl.constexpr
):  # fmt: skip
    """A row begins every `stride` values; its means are `to_means` behind, its squares `to_squares` more."""
    u = tl.program_id(0).to(tl.int64)
    row = table + tl.load(rows + u).to(tl.int64) * stride
    rate *= tl.load(rates + u)
    for begin in range(0, width, LANES):
        f = begin + tl.arange(0, LANES)
        gradient = tl.load(gradients + u * width + f, mask=f < width, other=0.0)
        at = row + f
        _adam(at, at + to_means, at + to_means + to_squares, gradient, f < width, rate, decay, rescale)
