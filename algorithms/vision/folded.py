"""A residual network as it answers: each batch norm that follows a convolution is part of it.

    gamma (W x - mean) / sqrt(var + eps) + beta  =  (s W) x + (beta - s mean),   s = gamma / sqrt(var + eps)

In `pre` the first batch norm of a unit follows a sum, and stays.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional

from optml.algorithms.vision.resnet import Exact, Norm, PostUnit, PreUnit, ResNet

Tensor = torch.Tensor
Net = TypeVar("Net", bound=ResNet)


class Rest(nn.Module):
    """What is left of a batch norm: what is added, and ReLU."""

    def __init__(self, relu: bool) -> None:
        super().__init__()
        self.relu = relu

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        if added is not None:
            x = x.add_(added)
        return functional.relu_(x) if self.relu else x


def folded(network: Net, dtype: torch.dtype = torch.float32) -> Net:
    """A copy for inference alone, whose activations are of `dtype` and whose last layer is float32.

    Its inputs, outputs and features are those of the network, to rounding."""
    own = copy.deepcopy(network).eval().requires_grad_(False)
    if own.bn1 is not None:
        stem = own.conv1
        own.set_submodule("bn1", _fold(stem[6] if isinstance(stem, nn.Sequential) else stem, own.bn1))
    for unit in own.modules():
        if isinstance(unit, nn.Sequential):  # a deep stem, a projection, a head
            for place in range(1, len(unit)):
                if isinstance(unit[place], Norm) and isinstance(unit[place - 1], nn.Conv2d):
                    unit[place] = _fold(unit[place - 1], unit[place])
        elif isinstance(unit, PreUnit | PostUnit):
            norms = ["bn1", "bn2", "bn3"] if not isinstance(unit, PreUnit) else ["bn2", "bn3"]
            for convolution, norm in zip(("conv1", "conv2", "conv3"), norms, strict=False):
                if getattr(unit, norm) is not None:
                    setattr(unit, norm, _fold(getattr(unit, convolution), getattr(unit, norm)))
    for module in own.modules():
        if isinstance(module, nn.Conv2d) and not isinstance(module, Exact):
            module.to(dtype)
    return own.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _fold(convolution: nn.Module, norm: nn.Module) -> nn.Module:
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, Norm)
    scale = (norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()).detach()
    weight = convolution.weight.double() * scale[:, None, None, None]
    shift = norm.bias.double() - norm.running_mean.double() * scale
    convolution.weight = nn.Parameter(weight.float(), requires_grad=False)
    convolution.bias = nn.Parameter(shift.float().detach(), requires_grad=False)
    return Rest(norm.relu)
