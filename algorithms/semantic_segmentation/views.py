"""How images are seen: in training a random square of a random size, in validation the middle (GluonCV's
`train` and `val` modes)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optml.algorithms.vision.augment import View
from optml.formats.images.decode import Encoded

SMALLEST, LARGEST = 0.5, 2.0  # of base_size, what the longer side becomes
MIRRORED, BLURRED = 0.5, 0.5  # shares of images


@dataclass(frozen=True, slots=True)
class Square:
    """A square of `crop` pixels of the image whose longer side becomes `base` times .5 to 2: mirrored every
    other time, at a random place, blurred every other time by a Gaussian of up to one pixel. Where the image
    is smaller it lies in the upper left corner."""

    crop: int
    base: int

    def __call__(self, image: Encoded, rng: np.random.Generator, sample: int) -> View:
        size, mirror, up, left, blur, radius = rng.random(6).tolist()
        least, most = int(SMALLEST * self.base), int(LARGEST * self.base)
        longer = least + int(size * (most - least + 1))
        height, width = image.size
        rows, columns = (max(round(side * longer / max(height, width)), 1) for side in (height, width))
        top = int(up * (max(rows - self.crop, 0) + 1))
        first = int(left * (max(columns - self.crop, 0) + 1))
        down, across = height / rows, width / columns
        x = (-across, 0.0, width - across * first) if mirror < MIRRORED else (across, 0.0, across * first)
        return View(np.array([x, (0.0, down, down * top)]), blur=radius if blur < BLURRED else 0.0)


@dataclass(frozen=True, slots=True)
class Middle:
    """The middle square of the image whose shorter side becomes `crop`. Draws nothing."""

    crop: int

    def __call__(self, image: Encoded, rng: np.random.Generator, sample: int) -> View:
        height, width = image.size
        shorter = min(height, width)
        rows, columns = (side * self.crop // shorter for side in (height, width))
        down, across = height / rows, width / columns
        top, left = round((rows - self.crop) / 2), round((columns - self.crop) / 2)
        return View(np.array([(across, 0.0, across * left), (0.0, down, down * top)]))
