"""Mixtures of documents on a GPU.

`_infer`    a program takes one document with its mixture in registers, and walks over its words, `rounds`
            times; documents end by themselves once they have settled.
`_ratios`   a program takes one document and writes count / chance of each of its words.
`_gather`   a program takes one word and walks over the documents that hold it, in their order.

Sums are in a fixed order: the same batch gives the same bits. Rows may be of any width.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.mixtures.terms import TINY, Documents

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy


def infer(
    documents: Documents, table: Tensor, theta: Tensor, prior: Tensor, rounds: int, tolerance: float
) -> None:
    """See `mixtures.infer`."""
    if len(documents):
        width = theta.shape[1]
        _infer[(len(documents),)](
            documents.bounds, documents.words, documents.counts, table, theta, prior, width, rounds,
            tolerance, TINY, float(prior.sum()), WIDTH=triton.next_power_of_2(width),
        )  # fmt: skip


def gather(documents: Documents, table: Tensor, theta: Tensor) -> Tensor:
    """See `mixtures.gather`."""
    n, (words, width) = len(documents), table.shape
    gathered = torch.zeros_like(table)
    if not n:
        return gathered
    ratios = torch.empty_like(documents.counts)
    block = triton.next_power_of_2(width)
    _ratios[(n,)](
        documents.bounds, documents.words, documents.counts, table, theta, ratios, width, TINY, WIDTH=block
    )
    order = torch.argsort(documents.words, stable=True)
    holders = torch.bucketize(order, documents.bounds[1:], right=True)
    ends = torch.cumsum(torch.bincount(documents.words, minlength=words), 0)
    _gather[(words,)](ends, order, holders, ratios, theta, gathered, width, WIDTH=block)
    return gathered.mul_(table)


@triton.jit
def _infer(
    bounds, words, counts, table, theta, prior, width, rounds, tolerance, tiny, total, WIDTH: tl.constexpr
):
    d = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    inside = column < width
    first, last = tl.load(bounds + d), tl.load(bounds + d + 1)
    length = 0.0
    for e in range(first, last):
        length += tl.load(counts + e)
    scale = 1 / tl.maximum(length + total, tiny)
    own = tl.load(theta + d * width + column, mask=inside, other=0.0)
    level = tl.load(prior + column, mask=inside, other=0.0)
    moving = 1
    number = 0
    while (number < rounds) & (moving > 0):
        summed = tl.zeros((WIDTH,), tl.float32)
        for e in range(first, last):
            at = tl.load(words + e).to(tl.int64) * width
            row = tl.load(table + at + column, mask=inside, other=0.0)
            summed += tl.load(counts + e) / tl.maximum(tl.sum(own * row), tiny) * row
        new = (own * summed + level) * scale
        moving = tl.where(tl.max(tl.abs(new - own)) < tolerance, 0, 1)
        own = new
        number += 1
    tl.store(theta + d * width + column, own, mask=inside)


@triton.jit
def _ratios(bounds, words, counts, table, theta, ratios, width, tiny, WIDTH: tl.constexpr):
    d = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    inside = column < width
    own = tl.load(theta + d * width + column, mask=inside, other=0.0)
    for e in range(tl.load(bounds + d), tl.load(bounds + d + 1)):
        at = tl.load(words + e).to(tl.int64) * width
        row = tl.load(table + at + column, mask=inside, other=0.0)
        tl.store(ratios + e, tl.load(counts + e) / tl.maximum(tl.sum(own * row), tiny))


@triton.jit
def _gather(ends, order, holders, ratios, theta, gathered, width, WIDTH: tl.constexpr):
    v = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, WIDTH)
    inside = column < width
    first = tl.load(ends + v - 1, mask=v > 0, other=0)
    total = tl.zeros((WIDTH,), tl.float32)
    for place in range(first, tl.load(ends + v)):
        ratio = tl.load(ratios + tl.load(order + place))
        row = tl.load(holders + place).to(tl.int64) * width
        total += ratio * tl.load(theta + row + column, mask=inside, other=0.0)
    tl.store(gathered + v * width + column, total, mask=inside)
