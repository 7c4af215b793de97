"""What the paths of this operation share: its terms and constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

HUE, LIGHTNESS, SATURATION = 180.0, 255.0, 255.0  # the largest, in the units of offsets of colour


@dataclass(frozen=True, slots=True, eq=False)
class Finish:
    """What becomes of a pixel at the end: (value - mean) * scale by channel, of values 0..255.

    mean, scale: (channels,) float32.   outside: the value of pixels beside the image.
    """

    mean: np.ndarray
    scale: np.ndarray
    outside: float = 127.0

    @classmethod
    def of(cls, scaling: str, channels: int = 3, outside: float = 127.0) -> Finish:
        """By name: `raw` leaves 0..255, `mean` takes away (123, 117, 104), `imagenet` is (x / 255 - mean) /
        std with ImageNet's, in the order R, G, B; one channel takes the mean of the three."""
        mean, scale = _SCALINGS[scaling]
        if channels == 1:
            mean, scale = (float(np.mean(mean)),), (float(np.mean(scale)),)
        return cls(np.array(mean, np.float32), np.array(scale, np.float32), outside)


_SCALINGS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "raw": ((0.0,) * 3, (1.0,) * 3),
    "mean": ((123.0, 117.0, 104.0), (1.0,) * 3),
    "imagenet": (
        (0.485 * 255, 0.456 * 255, 0.406 * 255),
        (1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255)),
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Images of any sizes, end to end. pixels: (bytes,) uint8, each (height, width, channels) in C order.
    starts: (n,) int64.   sizes: (n, 2) int64, heights and widths."""

    pixels: Array
    starts: Array
    sizes: Array
    channels: int

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of(cls, images: list[np.ndarray]) -> Packed:
        """From arrays (h, w, channels) uint8."""
        lengths = np.array([image.size for image in images], np.int64)
        return cls(
            np.concatenate([image.reshape(-1) for image in images]),
            lengths.cumsum() - lengths,
            np.array([image.shape[:2] for image in images], np.int64),
            images[0].shape[2],
        )
