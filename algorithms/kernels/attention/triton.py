"""Additive attention on a GPU: a program takes a row, holds its scores in registers, and passes over its keys
and values a token at a time."""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


def forward(
    query: Tensor, keys: Tensor, values: Tensor, score: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """See `attention.attend`."""
    count, places, wide = len(query), keys.shape[1], values.shape[2]
    context, weights = query.new_empty(count, wide), query.new_empty(count, places)
    if count:
        _forward[(count,)](
            query, keys, values, score, lengths, context, weights, places, query.shape[1], wide,
            **_blocks(places, query.shape[1], wide),
        )  # fmt: skip
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
    """See `cpu.backward`."""
    count, places = weights.shape
    of_query, of_score = torch.empty_like(query), torch.empty_like(query)
    if count:
        _backward[(count,)](
            above, query, keys, values, score, weights, lengths, of_query, of_score, of_keys, of_values,
            places, query.shape[1], values.shape[2], **_blocks(places, query.shape[1], values.shape[2]),
        )  # fmt: skip
    return of_query, of_score.sum(0)


def _blocks(places: int, width: int, wide: int) -> dict[str, int]:
    sizes = zip(("PLACES", "WIDTH", "WIDE"), (places, width, wide), strict=True)
    return {name: triton.next_power_of_2(size) for name, size in sizes}


@triton.jit
def _tanh(x):
    return 2.0 * tl.sigmoid(2.0 * x) - 1.0


@triton.jit
def _forward(
    query, keys, values, score, lengths, context, weights, places, width, wide,
    PLACES: tl.constexpr, WIDTH: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + row)
    place, a, w = tl.arange(0, PLACES), tl.arange(0, WIDTH), tl.arange(0, WIDE)
    asked = tl.load(query + row * width + a, mask=a < width, other=0.0)
    by = tl.load(score + a, mask=a < width, other=0.0)
    scores = tl.full([PLACES], float("-inf"), tl.float32)
    for j in range(length):
        key = tl.load(keys + (row * places + j) * width + a, mask=a < width, other=0.0)
        scores = tl.where(place == j, tl.sum(by * _tanh(key + asked), 0), scores)
    chances = tl.exp(scores - tl.max(scores, 0))
    chances = chances / tl.sum(chances, 0)
    tl.store(weights + row * places + place, chances, mask=place < places)
    total = tl.zeros([WIDE], tl.float32)
    for j in range(length):
        value = tl.load(values + (row * places + j) * wide + w, mask=w < wide, other=0.0)
        total += tl.sum(tl.where(place == j, chances, 0.0), 0) * value
    tl.store(context + row * wide + w, total, mask=w < wide)


@triton.jit
def _backward(
    above, query, keys, values, score, weights, lengths, of_query, of_score, of_keys, of_values, places,
    width, wide, PLACES: tl.constexpr, WIDTH: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    length = tl.load(lengths + row)
    place, a, w = tl.arange(0, PLACES), tl.arange(0, WIDTH), tl.arange(0, WIDE)
    slope = tl.load(above + row * wide + w, mask=w < wide, other=0.0)
    chances = tl.load(weights + row * places + place, mask=place < places, other=0.0)
    dots = tl.zeros([PLACES], tl.float32)
    for j in range(length):
        at = (row * places + j) * wide + w
        value = tl.load(values + at, mask=w < wide, other=0.0)
        dots = tl.where(place == j, tl.sum(slope * value, 0), dots)
        before = tl.load(of_values + at, mask=w < wide, other=0.0)
        own = tl.sum(tl.where(place == j, chances, 0.0), 0)
        tl.store(of_values + at, before + own * slope, mask=w < wide)
    slopes = chances * (dots - tl.sum(chances * dots, 0))
    asked = tl.load(query + row * width + a, mask=a < width, other=0.0)
    by = tl.load(score + a, mask=a < width, other=0.0)
    to_query, to_score = tl.zeros([WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
    for j in range(length):
        at = (row * places + j) * width + a
        inner = _tanh(tl.load(keys + at, mask=a < width, other=0.0) + asked)
        own = tl.sum(tl.where(place == j, slopes, 0.0), 0)
        to_score += own * inner
        one = own * by * (1.0 - inner * inner)
        to_query += one
        before = tl.load(of_keys + at, mask=a < width, other=0.0)
        tl.store(of_keys + at, before + one, mask=a < width)
    tl.store(of_query + row * width + a, to_query, mask=a < width)
    tl.store(of_score + row * width + a, to_score, mask=a < width)
