"""VGG-16 as detectors take it ("reduced"): thirteen convolutions, then two in the place of its dense layers,
the first of them dilated. Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015; Liu et al., "SSD", ECCV 2016, section 3.

Names are those of Caffe and MXNet: conv1_1 ... conv5_3, fc6, fc7.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from optml.errors import UserError

Tensor = torch.Tensor

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
FOREMOST = tuple(
    f"conv{stage}_{number}"
    for stage, (_, count) in enumerate(STAGES, start=1)
    for number in range(1, count + 1)
)
_PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of the same in torchvision's `features`
SCALE = 20.0  # of relu4_3 after it was normalised, at first


class Vgg(nn.Module):
    """Images (n, 3, h, w) to relu4_3, normalised over its channels and scaled, and relu7."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 3
        for stage, (outputs, count) in enumerate(STAGES, start=1):
            for number in range(1, count + 1):
                self.add_module(f"conv{stage}_{number}", nn.Conv2d(inputs, outputs, 3, padding=1))
                inputs = outputs
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.relu4_3_scale = nn.Parameter(torch.full((1, 512, 1, 1), SCALE))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, x: Tensor) -> list[Tensor]:
        lower = x
        for stage, (_, count) in enumerate(STAGES, start=1):
            for number in range(1, count + 1):
                x = functional.relu_(self.get_submodule(f"conv{stage}_{number}")(x))
            if stage == 4:
                lower = functional.normalize(x, dim=1, eps=1e-10) * self.relu4_3_scale
            if stage < 5:
                x = functional.max_pool2d(x, 2, 2, ceil_mode=stage == 3)
        x = functional.relu_(self.fc6(functional.max_pool2d(x, 3, 1, 1)))
        return [lower, functional.relu_(self.fc7(x))]


def arrays(weights: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray] | None:
    """Those of a `Vgg` that a file of weights holds, under the names of MXNet's zoo (`conv1_1_weight`), ours
    (`conv1_1.weight`) or torchvision's (`features.0.weight`); None: it is of no VGG-16.

    Of torchvision's dense layers every fourth output and every third pixel is taken (the paper's section 3),
    and none where a file has no numbers there. Raises UserError, naming `where`, for arrays of another
    shape."""
    taken: dict[str, np.ndarray] = {}
    for layer, place in zip(FOREMOST, _PLACES, strict=True):
        for kind in ("weight", "bias"):
            spellings = (f"{layer}_{kind}", f"{layer}.{kind}", f"features.{place}.{kind}")
            array = next((weights[name] for name in spellings if name in weights), None)
            if array is None:
                return None
            taken[f"{layer}.{kind}"] = np.asarray(array, np.float32)
    for layer in ("fc6", "fc7"):
        for kind in ("weight", "bias"):
            array = weights.get(f"{layer}_{kind}", weights.get(f"{layer}.{kind}"))
            if array is not None:
                taken[f"{layer}.{kind}"] = np.asarray(array, np.float32)
    if "fc6.weight" not in taken:
        taken |= _thinned(weights)
    expected = {name: tuple(tensor.shape) for name, tensor in Vgg().state_dict().items()}
    for name, array in taken.items():
        if array.shape != expected[name]:
            raise UserError(f"{where} has {name} of shape {array.shape}; VGG-16's is {expected[name]}")
    return taken


def _thinned(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """fc6 and fc7 out of the dense layers of classification."""
    first, second = (weights.get(f"classifier.{place}.weight") for place in (0, 3))
    if first is None or second is None or first.shape != (4096, 25088) or not np.isfinite(first[0]).all():
        return {}
    biases = [np.asarray(weights[f"classifier.{place}.bias"], np.float32)[::4] for place in (0, 3)]
    convolution = np.asarray(first, np.float32).reshape(4096, 512, 7, 7)[::4, :, ::3, ::3]
    dense = np.asarray(second, np.float32)[::4, ::4, None, None]
    return {"fc6.weight": convolution, "fc6.bias": biases[0], "fc7.weight": dense, "fc7.bias": biases[1]}
