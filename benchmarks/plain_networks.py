"""Networks of pictures as one writes them in torch, in its default layout: peers of ours, as large."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

Tensor = torch.Tensor
UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def layer(inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (size // 2)
    return [
        nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        parts = [*layer(inputs, width, 1), *layer(width, width, 3, stride, dilation)]
        self.body = nn.Sequential(*parts, *layer(width, 4 * width, 1)[:2])
        other = stride > 1 or inputs != 4 * width
        self.shortcut = nn.Sequential(*layer(inputs, 4 * width, 1, stride)[:2]) if other else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x), inplace=True)


class Segmenter(nn.Module):
    """FCN on a dilated ResNet with the deep stem, with its second head (GluonCV's)."""

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *layer(3, 64, 3, 2), *layer(64, 64, 3), *layer(64, 128, 3), nn.MaxPool2d(3, 2, 1)
        )
        stages, inputs = [], 128
        # Of each stage: channels, and stride and dilation of its first unit, dilation of the others.
        plan = ((64, 1, 1, 1), (128, 2, 1, 1), (256, 1, 1, 2), (512, 1, 2, 4))
        for count, (width, stride, first, dilation) in zip(UNITS[depth], plan, strict=True):
            units = [Bottleneck(inputs, width, stride, first)]
            inputs = 4 * width
            units += [Bottleneck(inputs, width, 1, dilation) for _ in range(count - 1)]
            stages.append(nn.Sequential(*units))
        self.body, self.last = nn.Sequential(*stages[:3]), stages[3]
        self.head, self.second = head(2048, classes), head(1024, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        third = self.body(self.stem(x))
        return self.head(self.last(third)), self.second(third) if self.training else None


def head(inputs: int, classes: int) -> nn.Sequential:
    width = inputs // 4
    return nn.Sequential(*layer(inputs, width, 3), nn.Dropout(0.1), nn.Conv2d(width, classes, 1))
