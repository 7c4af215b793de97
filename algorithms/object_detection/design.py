"""Which detector: a base, what is built upon it, and its anchors. Liu, Anguelov, Erhan, Szegedy, Reed, Fu,
Berg, "SSD: Single Shot MultiBox Detector", ECCV 2016, as MXNet's example and AWS's image have it.

    base, side            layers of the base            extra layers: channels / stride / padding
    vgg-16, below 448     relu4_3, relu7                512/2/1  256/2/1  256/1/0  256/1/0
    vgg-16, from 448 on   relu4_3, relu7                512/2/1  256/2/1  256/2/1  256/2/1  256/1/1 (4x4)
    resnet-50             sums of stages 3 and 4        512/2/1  256/2/1  256/2/1  128/2/1

The 4x4 is that of the paper's SSD512: it makes one cell of the last four, as the published anchors expect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from optml.algorithms.object_detection.anchors import Anchors
from optml.algorithms.vision.architecture import Architecture, Scaling

Base = Literal["vgg-16", "resnet-50"]
LARGE = 448  # pixels of a side, from which VGG has a layer more
NARROWEST = 128  # channels of a 1x1 convolution
THREE, FIVE = (1.0, 2.0, 0.5), (1.0, 2.0, 0.5, 3.0, 1 / 3)  # ratios
SIX, SEVEN = (THREE, *(FIVE,) * 3, THREE, THREE), (THREE, *(FIVE,) * 4, THREE, THREE)  # of so many layers
VARIANCES = (0.1, 0.1, 0.2, 0.2)  # what offsets are divided by


@dataclass(frozen=True, slots=True)
class Extra:
    """A 1x1 convolution with `inner` outputs and one of `size` x `size`, ReLU after both."""

    channels: int
    stride: int
    padding: int
    size: int = 3
    inner: int = 0

    @classmethod
    def of(cls, channels: int, stride: int, padding: int, size: int = 3) -> Extra:
        return cls(channels, stride, padding, size, max(NARROWEST, channels // 2))


@dataclass(frozen=True, slots=True)
class Design:
    """classes: of objects, without background.   network: of a residual base.   scaling: of its pixels."""

    base: Base
    classes: int
    extras: tuple[Extra, ...]
    anchors: Anchors
    network: Architecture | None = None
    scaling: Scaling = "mean"

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each feature layer."""
        own = (512, 1024) if self.network is None else self.network.widths[-2:]
        return *own, *(extra.channels for extra in self.extras)

    def __str__(self) -> str:
        return f"SSD on {self.network or 'VGG-16'} for {self.classes} classes"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        network = {} if self.network is None else asdict(self.network)
        return {
            "base_network": self.base,
            "num_classes": self.classes,
            "sizes": [list(sizes) for sizes in self.anchors.sizes],
            "ratios": [list(ratios) for ratios in self.anchors.ratios],
            "steps": list(self.anchors.steps),
            "extras": [asdict(extra) for extra in self.extras],
            "scaling": self.scaling,
            **{"num_layers" if name == "depth" else name: value for name, value in network.items()},
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Design:
        """Raises KeyError, TypeError or ValueError for a document of another kind."""
        base: Base = document["base_network"]
        if base not in ("vgg-16", "resnet-50"):
            raise ValueError(f"base_network {base}")
        network = None
        if base == "resnet-50":
            layers, channels = int(document["num_layers"]), int(document["channels"])
            network = Architecture(
                layers, document["layout"], document["stem"], channels, document.get("eps")
            )
        sizes, ratios = (
            tuple(tuple(map(float, one)) for one in document[key]) for key in ("sizes", "ratios")
        )
        steps = tuple(None if step is None else float(step) for step in document["steps"])
        extras = tuple(Extra(**extra) for extra in document["extras"])
        own = cls(
            base,
            int(document["num_classes"]),
            extras,
            Anchors(sizes, ratios, steps),
            network,
            document["scaling"],
        )
        if not len(own.widths) == len(sizes) == len(ratios) == len(steps):
            raise ValueError(f"{len(own.widths)} feature layers, {len(sizes)} sizes, {len(ratios)} ratios")
        return own


def design(base: Base, side: int, classes: int, network: Architecture | None = None) -> Design:
    """What is trained on images of that side, in pixels.   network: of a residual base; None: AWS's."""
    if base == "resnet-50":
        network = network or Architecture(50)
        extras = (Extra.of(512, 2, 1), Extra.of(256, 2, 1), Extra.of(256, 2, 1), Extra.of(128, 2, 1))
        scaling: Scaling = "mean" if network.layout == "pre" else "imagenet"
        return Design(base, classes, extras, Anchors(SMALLER, SIX, (None,) * 6), network, scaling)
    if side < LARGE:
        extras = (Extra.of(512, 2, 1), Extra.of(256, 2, 1), Extra.of(256, 1, 0), Extra.of(256, 1, 0))
        return Design(
            base, classes, extras, Anchors(SMALLER, SIX, _steps(side, 300, 8, 16, 32, 64, 100, 300))
        )
    upper = (Extra.of(512, 2, 1), *(Extra.of(256, 2, 1),) * 3, Extra.of(256, 1, 1, 4))
    steps = _steps(side, 512, 8, 16, 32, 64, 128, 256, 512)
    return Design(base, classes, upper, Anchors(LARGER, SEVEN, steps))


def _steps(side: int, usual: int, *pixels: int) -> tuple[float | None, ...]:
    """Of each layer where images have the side that a network was made for."""
    return tuple(step / side if side == usual else None for step in pixels)


def _sizes(first: tuple[float, ...], last: float) -> tuple[tuple[float, float], ...]:
    """Of each layer its size, and the mean (of the logarithms) of that and the next layer's."""
    return tuple((one, math.sqrt(one * other)) for one, other in zip(first, (*first[1:], last), strict=True))


SMALLER = _sizes((0.1, 0.2, 0.37, 0.54, 0.71, 0.88), 1.05)
LARGER = _sizes((0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9), 1.05)
