"""Comparators and the layer behind them, without their outputs side by side.

    W [u*v; u; v; |u-v|] + b = W_h (u*v) + W_0 u + W_1 v + W_a |u-v| + b

in the order of the comparators. The parts of W are views; of the way there u and v alone are kept, and the
gradients of the parts are written into one array. At the defaults, 4 x 4096 numbers a pair are never there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

Tensor = torch.Tensor


def width(comparators: Sequence[str], d: int) -> int:
    """Of the output of all comparators, of vectors (d,)."""
    return sum(2 * d if name == "concat" else d for name in comparators)


def compared(u: Tensor, v: Tensor, weight: Tensor, bias: Tensor, comparators: Sequence[str]) -> Tensor:
    """(n, o) of u, v (n, d), weight (o, `width`), bias (o,); differentiable in all four."""
    outputs: Tensor = _Compared.apply(u, v, weight, bias, tuple(comparators))  # type: ignore[no-untyped-call]
    return outputs


def parts(u: Tensor, v: Tensor, comparators: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """The outputs (n, d) that lie side by side, one by one."""
    for name in comparators:
        if name == "hadamard":
            yield name, u * v
        elif name == "abs_diff":
            yield name, (u - v).abs()
        else:
            yield "first", u
            yield "second", v


class _Compared(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, v: Tensor, weight: Tensor, bias: Tensor, comparators: tuple[str, ...]
    ) -> Tensor:
        ctx.comparators = comparators
        ctx.save_for_backward(u, v, weight)
        outputs = bias.expand(len(u), -1).clone()
        of_parts = torch.split(weight, u.shape[1], dim=1)
        for (_, part), columns in zip(parts(u, v, comparators), of_parts, strict=True):
            outputs.addmm_(part, columns.T)
        return outputs

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        u, v, weight = ctx.saved_tensors
        d = u.shape[1]
        of_u, of_v, of_weight = torch.zeros_like(u), torch.zeros_like(v), torch.empty_like(weight)
        of_parts, gradients = torch.split(weight, d, dim=1), torch.split(of_weight, d, dim=1)
        every = zip(parts(u, v, ctx.comparators), of_parts, gradients, strict=True)
        for (name, part), columns, gradient in every:
            gradient.copy_(above.T @ part)
            if name == "first":
                of_u.addmm_(above, columns)
            elif name == "second":
                of_v.addmm_(above, columns)
            else:
                slope = above @ columns
                if name == "hadamard":
                    of_u.addcmul_(slope, v)
                    of_v.addcmul_(slope, u)
                else:
                    slope *= torch.sign(u - v)
                    of_u += slope
                    of_v -= slope
        return of_u, of_v, of_weight, above.sum(0), None
