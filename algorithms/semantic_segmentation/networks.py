"""The networks: a residual network of stride 8, a decoder on its last stage, a second head on the third.

Names of parameters are GluonCV's (`head.block.0.weight`, `auxlayer.block.4.bias`), of which AWS's files are.

    fcn       3x3 convolution to a quarter of the channels, 1x1 to the classes
              (Shelhamer, Long, Darrell, "Fully Convolutional Networks for Semantic Segmentation", PAMI 2017)
    psp       the means of each cell of coarse grids beside the features
              (Zhao et al., "Pyramid Scene Parsing Network", CVPR 2017)
    deeplab   convolutions of four dilations, and the mean of all
              (Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017)

Scores are of every eighth pixel; `kernels.masks` has what becomes of them at all pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from optml.algorithms.semantic_segmentation.facts import Facts
from optml.algorithms.semantic_segmentation.hyperparameters import STRIDE
from optml.algorithms.vision.architecture import EPS
from optml.algorithms.vision.resnet import Exact, Norm, ResNet, convolution, initialise

Tensor = torch.Tensor

HEADS = ("head.", "auxlayer.")  # what their parameters' names begin with
DILATIONS = (12, 24, 36)
ASPP = 256  # channels of each part of DeepLab
FIRST = 0.01  # deviation of the last layers' first weights: all classes begin about equally probable


class Segmenter(ResNet):
    """auxiliary: with the second head, which training alone needs."""

    def __init__(self, facts: Facts, *, auxiliary: bool) -> None:
        super().__init__(facts.architecture, output_stride=STRIDE)
        eps = facts.architecture.eps or EPS[facts.architecture.layout]
        third, fourth = facts.architecture.widths[-2:]
        if facts.decoder == "psp":
            self.head: nn.Module = Pyramid(fourth, facts.classes, facts.bins, eps)
        elif facts.decoder == "deeplab":
            self.head = DeepLab(fourth, facts.classes, eps)
        else:
            self.head = Plain(fourth, facts.classes, eps)
        self.auxlayer = Plain(third, facts.classes, eps) if auxiliary else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:  # type: ignore[override]
        """Scores (n, classes, ceil(height / 8), ceil(width / 8)) of images (n, 3, height, width), and in
        training those of the second head, where there is one."""
        other = None
        for stage, x in enumerate(self.outputs(x), start=1):  # noqa: B020  earlier stages are let go
            if stage == self.stages - 1 and self.training and self.auxlayer is not None:
                other = self.auxlayer(x)
        return self.head(x), other

    def use(self, random: torch.Generator) -> None:
        """Draw what is dropped from these numbers."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.random = random


class Dropout(nn.Module):
    """Sets a share of its input to 0 in training, by numbers that the learner hands it: so a resumed job
    drops what it would have dropped."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.random: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.share, generator=self.random)
        return x * kept.div_(1 - self.share)


class Plain(nn.Module):
    def __init__(self, inputs: int, classes: int, eps: float) -> None:
        super().__init__()
        self.block = _block(inputs, inputs // 4, classes, eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)  # type: ignore[no-any-return]


class Pyramid(nn.Module):
    def __init__(self, inputs: int, classes: int, bins: Sequence[int], eps: float) -> None:
        super().__init__()
        self.psp = Pools(inputs, bins, eps)
        self.block = _block(2 * inputs, inputs // 4, classes, eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.psp(x))  # type: ignore[no-any-return]


class Pools(nn.Module):
    """The features, and behind them the means over grids of `bins` x `bins` cells, brought to their size."""

    def __init__(self, inputs: int, bins: Sequence[int], eps: float) -> None:
        super().__init__()
        self.bins = tuple(bins)
        for number in range(1, len(self.bins) + 1):
            self.add_module(f"conv{number}", nn.Sequential(*_layer(inputs, inputs // 4, 1, eps)))

    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        for number, cells in enumerate(self.bins, start=1):
            means = self.get_submodule(f"conv{number}")(functional.adaptive_avg_pool2d(x, cells))
            parts.append(_spread(means, x))
        return torch.cat(parts, 1)


class DeepLab(nn.Module):
    def __init__(self, inputs: int, classes: int, eps: float) -> None:
        super().__init__()
        self.aspp = Dilated(inputs, eps)
        self.block = _block(ASPP, ASPP, classes, eps)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.aspp(x))  # type: ignore[no-any-return]


class Dilated(nn.Module):
    """Atrous spatial pyramid pooling. `concurent` is GluonCV's spelling."""

    def __init__(self, inputs: int, eps: float) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Sequential(*_layer(inputs, ASPP, 1, eps))]
        parts += [nn.Sequential(*_layer(inputs, ASPP, 3, eps, dilation)) for dilation in DILATIONS]
        self.concurent = nn.ModuleList([*parts, Mean(inputs, eps)])
        self.project = nn.Sequential(*_layer(len(self.concurent) * ASPP, ASPP, 1, eps), Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([part(x) for part in self.concurent], 1))  # type: ignore[no-any-return]


class Mean(nn.Module):
    """The mean of each channel, at every place."""

    def __init__(self, inputs: int, eps: float) -> None:
        super().__init__()
        self.gap = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_layer(inputs, ASPP, 1, eps))

    def forward(self, x: Tensor) -> Tensor:
        return _spread(self.gap(x), x)


def _layer(inputs: int, outputs: int, size: int, eps: float, dilation: int = 1) -> list[nn.Module]:
    """Convolution, batch norm with ReLU, and a place for the ReLU of GluonCV's names."""
    return [
        convolution(inputs, outputs, size, dilation=dilation),
        Norm(outputs, eps, relu=True),
        nn.Identity(),
    ]


def _block(inputs: int, width: int, classes: int, eps: float) -> nn.Sequential:
    return nn.Sequential(*_layer(inputs, width, 3, eps), Dropout(0.1), Exact(width, classes, 1))


def _spread(cells: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(cells, like.shape[2:], mode="bilinear", align_corners=True)


def first_weights(network: Segmenter) -> None:
    """Random, as `resnet.initialise` draws them; of the last layers small ones."""
    initialise(network)
    for module in network.modules():
        if isinstance(module, Exact):
            nn.init.normal_(module.weight, std=FIRST)
