"""A detector as it answers: batch norms are part of the convolutions they follow, and of each feature layer
one convolution makes scores and offsets."""

from __future__ import annotations

import copy

import torch
from torch import nn

from optml.algorithms.object_detection.network import Detector
from optml.algorithms.vision.folded import folded as folded_base
from optml.algorithms.vision.resnet import ResNet

Tensor = torch.Tensor


class Answering(nn.Module):
    """Of a `Detector`, whose answers are the same to rounding; activations are of `dtype`."""

    def __init__(self, network: Detector, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        own = copy.deepcopy(network).eval().requires_grad_(False)
        if isinstance(own.base, ResNet):
            own.base = folded_base(own.base, dtype)
        self.outputs = own.design.classes + 1
        self.counts = own.design.anchors.counts
        self.heads = nn.ModuleList(_joined(a, b) for a, b in zip(own.scores, own.offsets, strict=True))
        own.scores, own.offsets = nn.ModuleList(), nn.ModuleList()
        self.network = own
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.to(dtype)
        self.dtype = dtype
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = [], []
        for layer, head, count in zip(self.network.layers(x), self.heads, self.counts, strict=True):
            rows = head(layer.to(self.dtype)).float().permute(0, 2, 3, 1)
            scores.append(rows[..., : count * self.outputs].reshape(len(x), -1, self.outputs))
            offsets.append(rows[..., count * self.outputs :].reshape(len(x), -1, 4))
        return torch.cat(scores, 1), torch.cat(offsets, 1)


def _joined(one: nn.Module, other: nn.Module) -> nn.Conv2d:
    """Both convolutions of a layer as one."""
    assert isinstance(one, nn.Conv2d)
    assert isinstance(other, nn.Conv2d)
    both = nn.Conv2d(one.in_channels, one.out_channels + other.out_channels, 3, padding=1)
    both.weight = nn.Parameter(torch.cat([one.weight, other.weight]), requires_grad=False)
    assert one.bias is not None
    assert other.bias is not None
    both.bias = nn.Parameter(torch.cat([one.bias, other.bias]), requires_grad=False)
    return both
