"""The nearest center on a GPU: no n x K scores in memory, and sums without atomics.

`_assign`   rows (n, d), centers (K, d), bias (K,), all float32. A program takes ROWS rows and walks over all
            centers in tiles, keeping the running (best, label) of each row in registers.
`_add_runs` rows sorted by label, cut into runs of equal length: a program walks along its run and adds a row
            to the total in its registers until the label changes. Labels that begin and end inside a run
            are its own; the totals of its first and last label, which other runs may share, go to `edges`.
`_add_edges`  one program a center adds up its edges in order. No atomics: the same rows give the same bits.

Products are taken in float32 as three TF32 products ("tf32x3"), which keeps about 21 bits of the mantissa at
roughly a third of the tensor cores' speed; plain TF32 keeps 10, and swaps the labels of near-ties. Scores are
x.c' + bias, where c' lies around the mean of the centers, as in `cpu.py`.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy
FEATURES = 64  # features that a program of `_add_runs` and `_add_edges` takes


def absorb(rows: Tensor, centers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See `nearest.absorb`; rows (n, d) float32 and centers (K, d) float64 on one device."""
    mean, around, bias = _fold(centers)
    labels, scores = assign(rows, around, bias)
    counts, sums = add_up(rows, labels, len(centers))
    lengths = torch.square(rows - mean).sum(dim=1, dtype=torch.float64)
    loss = (lengths - 2 * scores.double()).clamp(min=0).sum().reshape(1)
    return counts, sums, loss


def nearest(rows: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """See `nearest.nearest`; rows (n, d) and centers (K, d) float32 on one device."""
    _, around, bias = _fold(centers.double())
    labels, _ = assign(rows, around, bias)
    return labels, torch.square(rows - centers[labels.long()]).sum(dim=1)


def _fold(centers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean = centers.mean(dim=0).float()
    around = centers - mean.double()
    bias = -(around @ mean.double()) - 0.5 * torch.square(around).sum(dim=1)
    return mean, around.float(), bias.float()


def assign(rows: Tensor, around: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Labels (n,) int32 and winning scores (n,) float32: argmax_j rows.around_j + bias_j, lowest j first."""
    n, d = rows.shape
    labels = torch.zeros(n, dtype=torch.int32, device=rows.device)
    scores = torch.empty(n, dtype=torch.float32, device=rows.device)
    if n:
        block_rows, block_centers, block_features = 128, 128, 32
        _assign[(triton.cdiv(n, block_rows),)](
            rows, around, bias, labels, scores, n, len(around), d,
            ROWS=block_rows, CENTERS=block_centers, FEATURES=block_features,
            num_warps=8, num_stages=3,
        )  # fmt: skip
    return labels, scores


def add_up(rows: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """How many of the (n, d) rows carry each of `count` labels (K,), and their sums (K, d); float64."""
    n, d = rows.shape
    sorted_labels, order = torch.sort(labels, stable=True)
    every = torch.arange(count + 1, dtype=torch.int32, device=rows.device)
    bounds = torch.searchsorted(sorted_labels, every)  # unlike bincount, it doesn't wait for the GPU
    sums = torch.zeros(count, d, dtype=torch.float64, device=rows.device)
    if n:
        length = max(32, triton.next_power_of_2(math.isqrt(n) // 4))  # as many edges as rows in a run, about
        runs, tiles = triton.cdiv(n, length), triton.cdiv(d, FEATURES)
        edges = torch.empty(2 * runs, d, dtype=torch.float64, device=rows.device)
        _add_runs[(runs, tiles)](
            rows, sorted_labels, order, sums, edges, n, d, LENGTH=length, FEATURES=FEATURES, num_warps=2
        )
        _add_edges[(count, tiles)](bounds, edges, sums, n, d, LENGTH=length, FEATURES=FEATURES, num_warps=2)
    return bounds.diff().double(), sums


@triton.jit
def _assign(
    rows, around, bias, labels, scores, n, k, d,
    ROWS: tl.constexpr, CENTERS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    best = tl.full((ROWS,), float("-inf"), tl.float32)
    label = tl.zeros((ROWS,), tl.int32)
    for first in range(0, k, CENTERS):
        center = first + tl.arange(0, CENTERS)
        product = tl.zeros((ROWS, CENTERS), tl.float32)
        for start in range(0, d, FEATURES):
            feature = start + tl.arange(0, FEATURES)
            x = tl.load(
                rows + row[:, None] * d + feature[None, :],
                mask=(row[:, None] < n) & (feature[None, :] < d),
                other=0.0,
            )
            c = tl.load(
                around + center[None, :].to(tl.int64) * d + feature[:, None],
                mask=(center[None, :] < k) & (feature[:, None] < d),
                other=0.0,
            )
            product = tl.dot(x, c, product, input_precision="tf32x3")
        product += tl.load(bias + center, mask=center < k, other=float("-inf"))[None, :]
        top, place = tl.max(product, axis=1, return_indices=True, return_indices_tie_break_left=True)
        better = top > best  # an earlier tile keeps its ties
        best = tl.where(better, top, best)
        label = tl.where(better, first + place, label)
    tl.store(labels + row, label, mask=row < n)
    tl.store(scores + row, best, mask=row < n)


@triton.jit
def _add_runs(rows, sorted_labels, order, sums, edges, n, d, LENGTH: tl.constexpr, FEATURES: tl.constexpr):
    feature = tl.program_id(1) * FEATURES + tl.arange(0, FEATURES)
    inside = feature < d
    run = tl.program_id(0).to(tl.int64)
    start = run * LENGTH
    stop = tl.minimum(start + LENGTH, n)
    first = tl.load(sorted_labels + start)
    label = first
    total = tl.zeros((FEATURES,), tl.float64)
    for place in range(start, stop):
        next_label = tl.load(sorted_labels + place)
        if next_label != label:
            if label == first:
                tl.store(edges + 2 * run * d + feature, total, mask=inside)
            else:
                tl.store(sums + label.to(tl.int64) * d + feature, total, mask=inside)
            total = tl.zeros((FEATURES,), tl.float64)
            label = next_label
        row = tl.load(order + place)
        total += tl.load(rows + row * d + feature, mask=inside, other=0.0).to(tl.float64)
    edge = tl.where(label == first, 2 * run, 2 * run + 1)
    tl.store(edges + edge * d + feature, total, mask=inside)


@triton.jit
def _add_edges(bounds, edges, sums, n, d, LENGTH: tl.constexpr, FEATURES: tl.constexpr):
    feature = tl.program_id(1) * FEATURES + tl.arange(0, FEATURES)
    inside = feature < d
    center = tl.program_id(0).to(tl.int64)
    start = tl.load(bounds + center)
    stop = tl.load(bounds + center + 1)
    run = start // LENGTH
    leads = start == run * LENGTH  # the center is the first of that run, else its last or one inside it
    if (stop > start) & (leads | (stop >= tl.minimum((run + 1) * LENGTH, n))):
        edge = tl.where(leads, 2 * run, 2 * run + 1)
        total = tl.load(edges + edge * d + feature, mask=inside, other=0.0)
        for later in range(run + 1, (stop - 1) // LENGTH + 1):
            total += tl.load(edges + 2 * later * d + feature, mask=inside, other=0.0)
        tl.store(sums + center * d + feature, total, mask=inside)
