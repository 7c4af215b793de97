"""Which residual network: its depth, the order within its units, its stem; told of a file by names and
shapes.

    layers        image height  stages  units a stage     channels (stem, then stages)  unit
    20 .. 110     small         3       (layers - 2) / 6  16, 16, 32, 64                two 3x3
    18, 34        any           4       2 to 6            64, 64, 128, 256, 512         two 3x3
    50 .. 200     any           4       3 to 36           64, 256, 512, 1024, 2048      1x1, 3x3, 1x1

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (`post`: convolution, batch
norm, ReLU) and "Identity Mappings in Deep Residual Networks", ECCV 2016 (`pre`: batch norm, ReLU,
convolution).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

Layout = Literal["pre", "post"]
Stem = Literal["3x3", "7x7", "deep"]
Scaling = Literal["raw", "mean", "imagenet"]

LARGE: Mapping[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
SMALL = (20, 32, 44, 56, 110)
DEPTHS = (*LARGE, *SMALL)
EPS: Mapping[str, float] = {"pre": 2e-5, "post": 1e-5}  # MXNet's examples; torchvision and GluonCV

_UNIT = re.compile(r"layer([1-4])\.(\d+)\.conv([1-3])\.weight")


@dataclass(frozen=True, slots=True)
class Architecture:
    """layout: order within a unit. `pre` takes pixels 0..255 into a batch norm of their own (`bn_data`).
    stem: `3x3` one convolution; `7x7` of stride 2 and a pool; `deep` three 3x3, the first of stride 2, and
    the pool. channels: of an image. eps: of every batch norm; None: the layout's own."""

    depth: int
    layout: Layout = "pre"
    stem: Stem = "7x7"
    channels: int = 3
    eps: float | None = None

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise ValueError(f"{self.depth} layers; known are {', '.join(map(str, DEPTHS))}")
        if self.layout not in get_args(Layout) or self.stem not in get_args(Stem):
            raise ValueError(f"layout {self.layout}, stem {self.stem}")

    @property
    def units(self) -> tuple[int, ...]:
        """Of each stage."""
        return LARGE.get(self.depth) or ((self.depth - 2) // 6,) * 3

    @property
    def bottleneck(self) -> bool:
        return self.depth in LARGE and self.depth >= 50

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels that come out of the stem, and of each stage."""
        if self.depth in SMALL:
            return 16, 16, 32, 64
        factor = 4 if self.bottleneck else 1
        return 128 if self.stem == "deep" else 64, *(64 * 2**stage * factor for stage in range(4))

    @property
    def scaling(self) -> Scaling:
        """What its inputs are: pixels 0..255, or less ImageNet's mean and over its standard deviation."""
        return "raw" if self.layout == "pre" else "imagenet"

    def __str__(self) -> str:
        return f"ResNet-{self.depth} {self.layout}, stem {self.stem}, {self.channels} channels"


def stem_of(height: int) -> Stem:
    """Of a network that is trained from scratch on images of that height."""
    return "3x3" if height <= 32 else "7x7"


def tell(shapes: Mapping[str, tuple[int, ...]], layout: Layout) -> Architecture | None:
    """The network with arrays of these shapes by our names (`algorithms.vision.resnet`); None: of none.

    Other arrays, and a head or none, are of no account."""
    units: dict[int, set[int]] = {}
    convolutions: set[int] = set()
    for name in shapes:
        match = _UNIT.fullmatch(name)
        if match:
            stage, unit, convolution = map(int, match.groups())
            units.setdefault(stage, set()).add(unit)
            convolutions.add(convolution)
    counts = tuple(len(units.get(stage, ())) for stage in range(1, max(units, default=0) + 1))
    deep, first = shapes.get("conv1.0.weight"), shapes.get("conv1.weight") or shapes.get("conv1.0.weight")
    if first is None or len(first) != 4:
        return None
    stem = "deep" if deep else f"{first[2]}x{first[3]}"
    if stem not in get_args(Stem):
        return None
    for depth in DEPTHS:
        one = Architecture(depth, layout, cast(Stem, stem), first[1])
        if one.units == counts and one.bottleneck == (3 in convolutions):
            return one
    return None
