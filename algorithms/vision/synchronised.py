"""Batch norm over the batches of all hosts (Peng et al., "MegDet", CVPR 2018): their sums are added up, on
the way forward and on the way back.

    x^ = (x - mean) / sqrt(var + eps)          y = gamma x^ + beta
    dx = gamma (dy - mean(dy) - x^ mean(dy x^)) / sqrt(var + eps)          means over all hosts
"""

from __future__ import annotations

from typing import Any

import torch

from optml.algorithms.cluster import Cluster
from optml.algorithms.vision.resnet import MOMENTUM, Norm

Tensor = torch.Tensor

_AXES = (0, 2, 3)


def synchronise(module: torch.nn.Module, cluster: Cluster) -> None:
    """From now on, training of every batch norm in the module holds collectives; each host has a batch."""
    if cluster.size == 1:
        return

    def over(norm: Norm, x: Tensor) -> Tensor:
        y: Tensor = _Normalise.apply(x, norm.weight, norm.bias, norm, cluster)  # type: ignore[no-untyped-call]
        return y

    for norm in module.modules():
        if isinstance(norm, Norm):
            norm.over = over


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, norm: Norm, cluster: Cluster) -> Tensor:
        values = x.float()
        count = x.new_full((1,), x.shape[0] * x.shape[2] * x.shape[3], dtype=torch.float64)
        sums = torch.cat([_sum(values), _sum(values * values), count])
        cluster.sum_beside(sums)()
        number = float(sums[-1])
        mean, squares = (sums[:-1] / number).chunk(2)
        variance = (squares - mean * mean).clamp_(min=0)
        norm.running_mean.lerp_(mean.float(), MOMENTUM)
        norm.running_var.lerp_((variance * number / max(number - 1, 1)).float(), MOMENTUM)
        scale = (variance + norm.eps).rsqrt().float()
        even = (values - _wide(mean.float())) * _wide(scale)
        ctx.save_for_backward(even, scale, weight)
        ctx.cluster, ctx.number = cluster, number
        return (even * _wide(weight) + _wide(bias)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        even, scale, weight = ctx.saved_tensors
        slopes = above.float()
        own = torch.cat([_sum(slopes), _sum(slopes * even)])
        bias, factor = own.float().chunk(2)
        ctx.cluster.sum_beside(sums := own.clone())()
        first, second = (sums / ctx.number).float().chunk(2)
        below = (slopes - _wide(first) - even * _wide(second)) * _wide(weight * scale)
        return below.to(above.dtype), factor, bias, None, None


def _sum(values: Tensor) -> Tensor:
    return values.sum(_AXES, dtype=torch.float64)


def _wide(values: Tensor) -> Tensor:
    return values[None, :, None, None]
