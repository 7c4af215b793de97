"""Residual networks in torch, for whoever reads pictures: a trunk of stages, and a linear head where one is
wanted.

Names of parameters and running statistics are torchvision's, for both layouts:

    conv1.weight | conv1.{0,3,6}.weight, conv1.{1,4}.* (stem `deep`)     bn1.* (not of stem 3x3 in `pre`)
    layer{stage}.{unit}.{conv,bn}{1,2,3}.*     downsample.weight (`pre`) | downsample.{0,1}.* (`post`)
    bn_data.*, norm.* (`pre`: of the pixels, whose factor is fixed to 1; after the last unit)     fc.*

Images are (n, channels, height, width) in torch's channels_last, which is the order of the pixels in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional

from optml.algorithms.vision.architecture import EPS, Architecture

Tensor = torch.Tensor

MOMENTUM = 0.1  # of a batch in the running statistics


class Norm(nn.Module):
    """Batch norm, what is added to it, and ReLU, where they follow: one operation, for all that they do is to
    read and write memory.

    weight, bias, running_mean, running_var: (channels,) float32, whatever the images are in.
    over: what takes the statistics of several hosts together (`vision.synchronised`); None: of this one.
    """

    running_mean: Tensor
    running_var: Tensor
    weight: Tensor

    def __init__(self, channels: int, eps: float, *, relu: bool = False, factor: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.relu = relu
        self.over: Callable[[Norm, Tensor], Tensor] | None = None
        if factor:
            self.weight = nn.Parameter(torch.ones(channels))
        else:
            self.register_buffer("weight", torch.ones(channels), persistent=False)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        several = x.shape[0] * x.shape[2] * x.shape[3] > 1  # one value has no deviation: as in inference
        if self.over is not None and self.training:
            x = self.over(self, x)
        else:
            statistics = self.running_mean, self.running_var
            x = functional.batch_norm(
                x, *statistics, self.weight, self.bias, self.training and several, MOMENTUM, self.eps
            )
        if added is not None:
            x = x.add_(added)  # in place, like ReLU: no gradient asks for what was there
        return functional.relu_(x) if self.relu else x


def convolution(
    inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1, *, bias: bool = False
) -> nn.Conv2d:
    """Of a square of that size, padded so that only the stride makes images smaller."""
    padding = dilation * (size // 2)
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=bias)


class Exact(nn.Conv2d):
    """A last convolution: float32 also in a network that answers in half precision."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class PreUnit(nn.Module):
    """BN-ReLU-convolution, two or three times; the shortcut leaves after the first ReLU where it is
    projected."""

    def __init__(self, inputs: int, outputs: int, plan: UnitPlan) -> None:
        super().__init__()
        eps, width = plan.eps, plan.width(outputs)
        self.bn1 = Norm(inputs, eps, relu=True)
        self.bn2 = Norm(width, eps, relu=True)
        if plan.bottleneck:
            self.conv1 = convolution(inputs, width, 1)
            self.conv2 = convolution(width, width, 3, plan.stride, plan.dilation)
            self.bn3: nn.Module | None = Norm(width, eps, relu=True)
            self.conv3: nn.Module | None = convolution(width, outputs, 1)
        else:
            self.conv1 = convolution(inputs, width, 3, plan.stride, plan.dilation)
            self.conv2 = convolution(width, outputs, 3, 1, plan.following)
            self.bn3 = self.conv3 = None
        self.downsample = convolution(inputs, outputs, 1, plan.stride) if plan.first else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(x)
        shortcut = x if self.downsample is None else self.downsample(y)
        y = self.conv2(self.bn2(self.conv1(y)))
        if self.bn3 is not None and self.conv3 is not None:
            y = self.conv3(self.bn3(y))
        total: Tensor = y.add_(shortcut)
        return total


class PostUnit(nn.Module):
    """Convolution-BN, two or three times with ReLU between; the last ReLU comes after the shortcut is
    added."""

    def __init__(self, inputs: int, outputs: int, plan: UnitPlan) -> None:
        super().__init__()
        eps, width = plan.eps, plan.width(outputs)
        self.bn1 = Norm(width, eps, relu=True)
        if plan.bottleneck:
            self.conv1 = convolution(inputs, width, 1)
            self.conv2 = convolution(width, width, 3, plan.stride, plan.dilation)
            self.bn2 = Norm(width, eps, relu=True)
            self.conv3: nn.Module | None = convolution(width, outputs, 1)
            self.bn3: nn.Module | None = Norm(outputs, eps, relu=True)
        else:
            self.conv1 = convolution(inputs, width, 3, plan.stride, plan.dilation)
            self.conv2 = convolution(width, outputs, 3, 1, plan.following)
            self.bn2 = Norm(outputs, eps, relu=True)
            self.conv3 = self.bn3 = None
        self.downsample: nn.Module | None = None
        if plan.stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, plan.stride), Norm(outputs, eps))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.conv2(self.bn1(self.conv1(x)))
        if self.bn3 is None or self.conv3 is None:
            return self.bn2(y, shortcut)  # type: ignore[no-any-return]
        return self.bn3(self.conv3(self.bn2(y)), shortcut)  # type: ignore[no-any-return]


class UnitPlan:
    """How a unit of a stage differs from the others.

    first: of its stage. stride: of its 3x3 convolution (the first of two). dilation, following: of the first
    3x3 convolution and of a second one.
    """

    def __init__(
        self, architecture: Architecture, *, first: bool, stride: int, dilation: int, following: int
    ) -> None:
        self.bottleneck = architecture.bottleneck
        self.eps = architecture.eps or EPS[architecture.layout]
        self.first, self.stride = first, stride
        self.dilation, self.following = dilation, following

    def width(self, outputs: int) -> int:
        """Channels inside of the unit."""
        return outputs // 4 if self.bottleneck else outputs


class ResNet(nn.Module):
    """classes: outputs of the linear head `fc` over the mean of each channel; None: no head.
    output_stride: 32 (8 without a pooling stem), or 8: the last two stages keep the size of the second's
    output and see as far by dilation (Yu, Koltun, Funkhouser, "Dilated Residual Networks", CVPR 2017), which
    leaves all parameters as they are.
    """

    def __init__(
        self, architecture: Architecture, classes: int | None = None, *, output_stride: int = 32
    ) -> None:
        super().__init__()
        self.architecture = architecture
        pre = architecture.layout == "pre"
        eps = architecture.eps or EPS[architecture.layout]
        stem, *widths = architecture.widths
        self.bn_data = Norm(architecture.channels, eps, factor=False) if pre else None
        self.conv1 = _stem(architecture, stem, eps)
        self.pool = nn.Identity() if architecture.stem == "3x3" else nn.MaxPool2d(3, 2, 1)
        self.bn1 = None if pre and architecture.stem == "3x3" else Norm(stem, eps, relu=True)
        self.stages = len(widths)
        inputs, dilation = stem, 1
        for stage, (outputs, count) in enumerate(zip(widths, architecture.units, strict=True)):
            stride, before = 1 if stage == 0 else 2, dilation
            if output_stride == 8 and stage >= 2:
                stride, dilation = 1, dilation * 2
            units: list[nn.Module] = []
            for unit in range(count):
                plan = UnitPlan(
                    architecture,
                    first=unit == 0,
                    stride=stride if unit == 0 else 1,
                    dilation=before if unit == 0 else dilation,
                    following=dilation,
                )
                units.append((PreUnit if pre else PostUnit)(inputs, outputs, plan))
                inputs = outputs
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))
        self.norm = Norm(inputs, eps, relu=True) if pre else None
        self.fc = None if classes is None else nn.Linear(inputs, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def work(self, height: int, width: int) -> int:
        """Multiply-adds of a 3x3 convolution of the first stage for one image of that size."""
        channels = self.architecture.widths[1] // (4 if self.architecture.bottleneck else 1)
        shrunk = 1 if self.architecture.stem == "3x3" else 4
        return 9 * channels * channels * (height // shrunk) * (width // shrunk)

    def outputs(self, x: Tensor) -> Iterator[Tensor]:
        """What comes out of each stage, one after the other, (n, channels, h, w). Of `pre` these are sums
        that no batch norm has seen yet; that of the last is `norm`."""
        x = self._first(x)
        x = self.pool(x if self.bn1 is None else self.bn1(x))
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
            yield x

    def features(self, x: Tensor) -> list[Tensor]:
        """All `outputs` at once."""
        return list(self.outputs(x))

    def _first(self, x: Tensor) -> Tensor:
        """`conv1` of `bn_data`. In training what that adds to pixels, which is the same for all images, goes
        through the convolution as an image of its own. So no gradient has to go back to the pixels of all,
        which would cost as much as four passes forward."""
        data, convolve = self.bn_data, self.conv1
        if data is None or not self.training or not isinstance(convolve, nn.Conv2d):
            return convolve(x if data is None else data(x))  # type: ignore[no-any-return]
        even = functional.batch_norm(
            x, data.running_mean, data.running_var, None, None, True, MOMENTUM, data.eps
        )
        added = data.bias[None, :, None, None].expand(1, -1, *x.shape[2:])
        added = added.contiguous(memory_format=torch.channels_last)
        return convolve(even).add_(convolve(added))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Scores (n, classes) before softmax or sigmoid; without a head the means of the channels."""
        y = self.features(x)[-1].float()  # of half precision only what is dear
        y = (y if self.norm is None else self.norm(y)).mean((2, 3))
        return y if self.fc is None else self.fc(y)


def _stem(architecture: Architecture, outputs: int, eps: float) -> nn.Module:
    channels = architecture.channels
    if architecture.stem != "deep":
        size = 3 if architecture.stem == "3x3" else 7
        return convolution(channels, outputs, size, 1 if size == 3 else 2)
    half = outputs // 2
    return nn.Sequential(
        convolution(channels, half, 3, 2),
        Norm(half, eps, relu=True),
        nn.Identity(),  # where torchvision's names have the ReLU
        convolution(half, half, 3),
        Norm(half, eps, relu=True),
        nn.Identity(),
        convolution(half, outputs, 3),
    )


def initialise(module: nn.Module) -> None:
    """Random first weights, as MXNet's trainer makes them: normal with variance 2 / inputs of a unit (He et
    al., "Delving Deep into Rectifiers", ICCV 2015), biases 0. Draws from torch's generator, in the modules' "
    "order."""
    for layer in _layers(module):
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _layers(module: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            yield layer
