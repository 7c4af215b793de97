"""The cross entropy of a linear layer over a large vocabulary, without the logits of all tokens in memory.

    z = W x + b        loss = sum over tokens of  log(sum_v exp(z_v)) - z_label

Tokens are taken some at a time: their logits are made by one product, turned in place into what the loss
says of them, softmax(z) less 1 at the label, and used at once for the gradients of x, W and b, two more
products. So logits are made once, and only those of ROOM numbers are ever there. Nothing is computed in the
backward pass: it scales what the forward pass left.

Tensors on a CPU take `cpu.py`, on a CUDA device the Triton kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROOM = 1 << 22  # logits at a time


def losses(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the cross entropies (scalar, of the dtype of `hidden`), differentiable once in the first
    three, and the number (scalar, int64) of tokens whose label has the largest logit.

    hidden: (n, h).   weight: (v, h).   bias: (v,).   labels: (n,) int64 in 0..v-1.
    """
    gradient = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    total, hits = _Losses.apply(hidden, weight, bias, labels, gradient)  # type: ignore[no-untyped-call]
    return total, hits


class _Losses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, gradient: bool
    ) -> tuple[Tensor, Tensor]:
        rows = max(1, ROOM // len(weight))
        total = hidden.new_zeros((), dtype=torch.float64)
        hits = torch.zeros((), dtype=torch.int64, device=hidden.device)
        of_hidden = torch.empty_like(hidden) if gradient else hidden
        of_weight, of_bias = (torch.zeros_like(part) if gradient else part for part in (weight, bias))
        logits = hidden.new_empty(min(rows, len(hidden)), len(weight))
        path = _path(hidden)
        for start in range(0, len(hidden), rows):
            some = hidden[start : start + rows]
            own = logits[: len(some)]
            torch.addmm(bias, some, weight.T, out=own)
            values, right = path.turn(own, labels[start : start + rows], gradient)
            total += values.sum(dtype=torch.float64)
            hits += right.sum()
            if gradient:
                torch.mm(own, weight, out=of_hidden[start : start + rows])
                of_weight.addmm_(own.T, some)
                of_bias += own.sum(0)
        ctx.save_for_backward(of_hidden, of_weight, of_bias)
        ctx.mark_non_differentiable(hits)
        return total.to(hidden.dtype), hits

    @staticmethod
    def backward(ctx: Any, slope: Tensor, _: Any) -> Any:
        of_hidden, of_weight, of_bias = ctx.saved_tensors
        return of_hidden * slope, of_weight * slope, of_bias * slope, None, None


def _path(tensor: Tensor) -> Any:
    if tensor.device.type == "cpu":
        from optml.algorithms.kernels.entropy import cpu

        return cpu
    from optml.algorithms.kernels.entropy import triton

    return triton
