"""Additive attention: what a decoder's step sees of its sources, without a tensor of every place's sums.

    s_j = v . tanh(k_j + q)        w = softmax(s) over the tokens of the source        c = sum_j w_j e_j

(Bahdanau, Cho, Bengio, 2014, arXiv 1409.0473). A row's scores, weights and context are made in one pass over
its keys k and values e; the backward pass makes the tanh anew, so that nothing of (rows, tokens, width) is
kept for any step. With `Sums`, the steps of a decoder add the slopes of keys and values up in one place,
which the first step, whose backward pass is the last, hands on: otherwise each step would make tensors as
large as keys and values, and add them to the sum of the others.

Tensors on a CPU take `cpu.py`, on a CUDA device the Triton kernels. Results agree with the formula in float64
to 1e-5.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LANES = 16  # of which widths must be multiples


class Sums:
    """Slopes of keys (n, s, a) and values (n, s, w) so far; None before any."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def begun(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.keys is None or self.values is None:
            self.keys, self.values = torch.zeros_like(keys), torch.zeros_like(values)
        return self.keys, self.values


def takes(keys: Tensor, values: Tensor) -> bool:
    """Can the kernels work on keys (n, s, a) and values (n, s, w)?"""
    return keys.dtype == values.dtype == torch.float32 and not (keys.shape[2] | values.shape[2]) % LANES


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    score: Tensor,
    lengths: Tensor,
    sums: Sums | None = None,
    *,
    first: bool = True,
) -> tuple[Tensor, Tensor]:
    """Contexts (m, w) and weights (m, s) of queries (m, a); the latter have no gradient.

    keys:    (n, s, a), n >= m: the first m count.   values: (n, s, w).   score: (a,), v.
    lengths: (n,) int64, tokens of each source, 1 or more.
    sums:    of a decoder's steps; first: is it the step whose backward pass is the last?
    """
    context, weights = _Attend.apply(query, keys, values, score, lengths, sums, first)  # type: ignore[no-untyped-call]
    return context, weights


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        score: Tensor,
        lengths: Tensor,
        sums: Sums | None,
        first: bool,
    ) -> tuple[Tensor, Tensor]:
        query, keys, values, score = (part.contiguous() for part in (query, keys, values, score))
        context, weights = _path(query).forward(query, keys, values, score, lengths)
        ctx.save_for_backward(query, keys, values, score, lengths, weights)
        ctx.sums, ctx.first = sums, first
        ctx.mark_non_differentiable(weights)
        return context, weights

    @staticmethod
    def backward(ctx: Any, above: Tensor, _: Any) -> Any:
        query, keys, values, score, lengths, weights = ctx.saved_tensors
        sums = ctx.sums or Sums()
        totals = sums.begun(keys, values)
        of_query, of_score = _path(query).backward(
            above.contiguous(), query, keys, values, score, lengths, weights, *totals
        )
        of_keys = of_values = None
        if ctx.first or ctx.sums is None:
            (of_keys, of_values), sums.keys, sums.values = totals, None, None
        return of_query, of_keys, of_values, of_score, None, None, None


def _path(tensor: Tensor) -> Any:
    if tensor.device.type == "cpu":
        from optml.algorithms.kernels.attention import cpu

        return cpu
    from optml.algorithms.kernels.attention import triton

    return triton
