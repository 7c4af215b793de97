"""The detector in torch: a base, extra layers, and of each feature layer one convolution for scores and one
for offsets.

Names of parameters: `base.*`, `extras.{k}.{0,1}.*`, `scores.{k}.*`, `offsets.{k}.*`; what AWS's graph calls
them: `algorithms.object_detection.naming`.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from optml.algorithms.object_detection.design import Design
from optml.algorithms.object_detection.vgg import Vgg
from optml.algorithms.vision.resnet import ResNet

Tensor = torch.Tensor


class Extra(nn.Sequential):
    """Two convolutions, ReLU after each."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = functional.relu_(layer(x))
        return x


class Detector(nn.Module):
    """Images (n, 3, side, side) to scores (n, A, classes + 1) before softmax, the background first, and
    offsets (n, A, 4) from A anchors, in the order of `Anchors.boxes`."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        if design.network is None:
            self.base: nn.Module = Vgg()
        else:
            self.base = ResNet(design.network)
            self.base.norm = None  # the sums of the last stage go to the heads as they are
        widths, counts = design.widths, design.anchors.counts
        self.extras = nn.ModuleList(
            Extra(
                nn.Conv2d(inputs, extra.inner, 1),
                nn.Conv2d(extra.inner, extra.channels, extra.size, extra.stride, extra.padding),
            )
            for inputs, extra in zip(widths[1:], design.extras, strict=False)
        )
        outputs = design.classes + 1
        self.scores, self.offsets = (
            nn.ModuleList(
                nn.Conv2d(width, count * each, 3, padding=1)
                for width, count in zip(widths, counts, strict=True)
            )
            for each in (outputs, 4)
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def layers(self, x: Tensor) -> list[Tensor]:
        """The feature layers."""
        found: list[Tensor] = cast(Vgg | ResNet, self.base).features(x)[-2:]
        for extra in self.extras:
            found.append(extra(found[-1]))
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = [], []
        for layer, one, other in zip(self.layers(x), self.scores, self.offsets, strict=True):
            scores.append(_rows(one(layer), self.design.classes + 1))
            offsets.append(_rows(other(layer), 4))
        return torch.cat(scores, 1).float(), torch.cat(offsets, 1).float()

    def work(self, side: int) -> int:
        """Multiply-adds of one of its middle convolutions for one image of that side, in pixels."""
        if isinstance(self.base, ResNet):
            return self.base.work(side, side)
        return 9 * 64 * 64 * side * side


def _rows(x: Tensor, each: int) -> Tensor:
    """(n, boxes * each, h, w) as (n, h * w * boxes, each)."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, each)


def grids(design: Design, side: int) -> list[tuple[int, int]]:
    """Rows and columns of each feature layer for images of that side, in pixels."""
    with torch.device("meta"):
        network = Detector(design).eval()
        layers = network.layers(torch.empty(1, 3, side, side))
    return [(layer.shape[2], layer.shape[3]) for layer in layers]


def initialise(network: Detector) -> None:
    """Random first weights, from torch's generator: of a base normal with variance 2 / inputs (He et al.,
    2015), of what is built upon it uniform with variance 2 / (inputs + outputs) (Glorot and Bengio, 2010);
    biases 0."""
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        if name.startswith("base."):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        else:
            start(layer)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def start(layer: nn.Conv2d) -> None:
    """MXNet's `Xavier` with its defaults: uniform, by the mean of inputs and outputs, magnitude 3."""
    inputs, outputs = nn.init._calculate_fan_in_and_fan_out(layer.weight)
    nn.init.uniform_(layer.weight, -(bound := math.sqrt(3 / ((inputs + outputs) / 2))), bound)
