# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Additive attention on CPUs: sixteen numbers of a key at a time, a row's tokens one after another. Threads
take runs of rows and share nothing."""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import float32, int64, types, void
from torch import Tensor

from optml.algorithms.kernels.lstm.cpu import hyperbolic, product, rest
from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.machine.simd import (
    LANES,
    add_up,
    compiled,
    fill,
    load,
    multiply_add,
    store,
    zero,
)
from optml.algorithms.kernels.machine.threads import in_parts

_table = types.Array(float32, 2, "C")
_TABLES = [_table] * 6
_longs = types.Array(int64, 1, "C")
_lanes = simd._lanes
_ONE = np.float32(1)


def forward(
    query: Tensor, keys: Tensor, values: Tensor, score: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """See `attention.attend`."""
    count, places, wide = len(query), keys.shape[1], values.shape[2]
    context, weights = query.new_empty(count, wide), query.new_empty(count, places)
    arrays = [_flat(part) for part in (query, keys, values, score[None])]
    out = context.numpy(), weights.numpy()

    def part(start: int, stop: int) -> None:
        _forward(*arrays, lengths.numpy(), *out, start, stop)

    in_parts(part, count, places * (8 * keys.shape[2] + wide), blas=False)
    return context, weights


def backward(
    above: Tensor,
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    score: Tensor,
    lengths: Tensor,
    weights: Tensor,
    of_keys: Tensor,
    of_values: Tensor,
) -> tuple[Tensor, Tensor]:
    """The slopes of query and score; those of keys and values are added to what is there.

    above: (m, w), of the context.   weights: (m, s), as `forward` made them.
    """
    count, places = weights.shape
    of_query, of_score = torch.zeros_like(query), torch.zeros_like(query)
    slopes = torch.empty_like(weights)
    arrays = [_flat(part) for part in (above, query, keys, values, score[None], weights)]
    out = [_flat(part) for part in (slopes, of_query, of_score, of_keys, of_values)]

    def part(start: int, stop: int) -> None:
        _backward(*arrays, lengths.numpy(), *out, start, stop)

    in_parts(part, count, places * (12 * keys.shape[2] + 2 * values.shape[2]), blas=False)
    return of_query, of_score.sum(0)


def _flat(tensor: Tensor) -> np.ndarray:
    """As rows of its last width."""
    array: np.ndarray = tensor.detach().reshape(-1, tensor.shape[-1]).numpy()
    return array


@compiled([_lanes(_lanes, _lanes)], inline=True)
def _sum(one, two):
    return multiply_add(one, fill(_ONE), two)


@compiled([void(*_TABLES[:4], _longs, _table, _table, int64, int64)])
def _forward(query, keys, values, score, lengths, context, weights, start, stop):
    places = weights.shape[1]
    width, wide = query.shape[1] // LANES, values.shape[1] // LANES
    for row in range(start, stop):
        length = lengths[row]
        largest = np.float32(-math.inf)
        for place in range(length):
            key = (row * places + place) * width
            total = zero()
            for line in range(width):
                inner = hyperbolic(_sum(load(keys, key + line), load(query, row * width + line)))
                total = multiply_add(load(score, line), inner, total)
            value = add_up(total)
            weights[row, place] = value
            largest = max(largest, value)
        whole = np.float32(0)
        for place in range(length):
            value = np.float32(math.exp(weights[row, place] - largest))
            weights[row, place] = value
            whole += value
        for place in range(places):
            weights[row, place] = weights[row, place] / whole if place < length else np.float32(0)
        for line in range(wide):
            total = zero()
            for place in range(length):
                one = load(values, (row * places + place) * wide + line)
                total = multiply_add(fill(weights[row, place]), one, total)
            store(context, row * wide + line, total)


@compiled([void(*_TABLES, _longs, *_TABLES[:5], int64, int64)])
def _backward(
    above, query, keys, values, score, weights, lengths,
    slopes, of_query, of_score, of_keys, of_values, start, stop,
):  # fmt: skip
    places = weights.shape[1]
    width, wide = query.shape[1] // LANES, values.shape[1] // LANES
    for row in range(start, stop):
        length = lengths[row]
        mean = np.float32(0)
        for place in range(length):
            value = (row * places + place) * wide
            total = zero()
            own = fill(weights[row, place])
            for line in range(wide):
                slope = load(above, row * wide + line)
                total = multiply_add(slope, load(values, value + line), total)
                store(of_values, value + line, multiply_add(own, slope, load(of_values, value + line)))
            slopes[row, place] = add_up(total)
            mean += weights[row, place] * slopes[row, place]
        for place in range(length):
            slopes[row, place] = weights[row, place] * (slopes[row, place] - mean)
        for line in range(width):
            asked = load(query, row * width + line)
            by = load(score, line)
            to_query, to_score = zero(), zero()
            for place in range(length):
                key = (row * places + place) * width + line
                inner = hyperbolic(_sum(load(keys, key), asked))
                own = fill(slopes[row, place])
                to_score = multiply_add(own, inner, to_score)
                slope = product(product(own, by), rest(product(inner, inner)))
                to_query = _sum(slope, to_query)
                store(of_keys, key, _sum(slope, load(of_keys, key)))
            store(of_query, row * width + line, to_query)
            store(of_score, row * width + line, to_score)
