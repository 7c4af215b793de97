"""Scores of a random cut forest on a GPU.

A program takes ROWS rows down one tree after the other, all rows at once, each at a node of its own: FEATURES
lanes side by side read a row's and a box's coordinates. Rows that have reached their leaf wait for the rest.
The trees are dealt out to several programs, whose sums are added up in order: no atomics, the same bits.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.forest.terms import Forest

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy
LANES = 2048  # rows times features of a program
PROGRAMS = 4096  # enough of them to fill a GPU


def score(rows: Tensor, forest: Forest) -> Tensor:
    """See `forest.score`; rows and forest are not far, and on one device."""
    n, d = rows.shape
    if not n:
        return torch.zeros(0, dtype=torch.float64, device=rows.device)
    features = min(64, triton.next_power_of_2(d))
    height = min(128, LANES // features)
    blocks = triton.cdiv(n, height)
    deals = min(forest.trees, max(1, PROGRAMS // blocks))
    sums = torch.empty(deals, n, dtype=torch.float32, device=rows.device)
    _score[(blocks, deals)](
        rows, forest.first, forest.points, forest.masses, forest.children, forest.dimensions, forest.cuts,
        forest.boxes, forest.ranges, sums, n, d, forest.trees, triton.cdiv(forest.trees, deals),
        ROWS=height, FEATURES=features, num_warps=4,
    )  # fmt: skip
    return sums.double().sum(dim=0) * forest.factor


@triton.jit
def _score(
    rows, first, points, masses, children, dimensions, cuts, boxes, ranges, sums, n, d, trees, share,
    ROWS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    inside = row < n
    feature = tl.arange(0, FEATURES)
    total = tl.zeros((ROWS,), tl.float32)
    start = tl.program_id(1) * share
    for tree in range(start, tl.minimum(start + share, trees)):
        begin = tl.load(first + tree)
        several = tl.load(first + tree + 1) - begin > 1
        root = tl.where(several, begin - tree, -1 - begin)
        node = tl.where(inside, root, -1 - begin)
        depth = tl.zeros((ROWS,), tl.float32)
        together = tl.full((ROWS,), 1.0, tl.float32)  # q
        inverse = tl.zeros((ROWS,), tl.float32)  # E
        while tl.max(node, axis=0) >= 0:
            under_way = node >= 0
            at = tl.where(under_way, node, 0)
            gap = tl.zeros((ROWS,), tl.float32)
            for lane in range(0, d, FEATURES):
                j = lane + feature
                here = under_way[:, None] & (j < d)[None, :]
                x = tl.load(rows + row[:, None] * d + j[None, :], mask=here, other=0.0)
                box = boxes + at[:, None] * 2 * d + j[None, :]
                low = tl.load(box, mask=here, other=0.0)
                high = tl.load(box + d, mask=here, other=0.0)
                gap += tl.sum(tl.maximum(tl.maximum(low - x, x - high), 0.0), axis=1)
            length = tl.load(ranges + at, mask=under_way, other=1.0).to(tl.float32)
            part = together / (length + gap)
            inverse += tl.where(under_way, part * gap / (depth + 1), 0.0)
            together = tl.where(under_way, part * length, together)
            dimension = tl.load(dimensions + at, mask=under_way, other=0)
            value = tl.load(rows + row * d + dimension, mask=under_way, other=0.0)
            right = value > tl.load(cuts + at, mask=under_way, other=0.0)
            child = tl.load(children + 2 * at + right.to(tl.int32), mask=under_way, other=-1)
            node = tl.where(under_way, child.to(tl.int64), node)
            depth += tl.where(under_way, 1.0, 0.0)
        leaf = -1 - node
        differing = tl.zeros((ROWS,), tl.int32)
        for lane in range(0, d, FEATURES):
            j = lane + feature
            here = inside[:, None] & (j < d)[None, :]
            x = tl.load(rows + row[:, None] * d + j[None, :], mask=here, other=0.0)
            point = tl.load(points + leaf[:, None] * d + j[None, :], mask=here, other=0.0)
            differing += tl.sum((x != point).to(tl.int32), axis=1)
        deep = depth + tl.log2(tl.load(masses + leaf).to(tl.float32))
        deep = tl.where(differing > 0, depth + 1, tl.where(deep > 0, deep, 1.0))
        total += inverse + together / deep
    tl.store(sums + tl.program_id(1).to(tl.int64) * n + row, total, mask=inside)
