"""How an image is seen: parameters alone, drawn by level; `kernels/pixels` applies them in one pass.

A view maps pixels of the output to places of the image as it is stored. Crops, resizes, mirrors, rotations
and shears are all such maps, and their order is in how they are multiplied. Levels and their ranges are those
of MXNet's image records (`set_data_aug_level`), which AWS's page names: order resize, affine, crop, mirror,
colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from optml.errors import UserError
from optml.formats.images.decode import Encoded

Level = Literal["none", "crop", "crop_color", "crop_color_transform"]
Size: TypeAlias = tuple[int, int]  # height, width


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """matrix: (2, 3) float64, from (column, row, 1) of the output, at centres of pixels, to x and y in the
    image in pixels.   colour: offsets of hue (0..180), lightness and saturation (0..255), and what is added
    to a contrast of 1; None: none.   blur: deviation of a Gaussian at the end, in pixels of the output, up to
    1; 0: none."""

    matrix: np.ndarray
    colour: tuple[float, float, float, float] | None = None
    blur: float = 0.0

    @property
    def scale(self) -> float:
        """How far apart in the image neighbours of the output lie, in the direction where that is least: the
        smaller singular value."""
        (a, b, _), (c, d, _) = self.matrix.tolist()
        squares, determinant = a * a + b * b + c * c + d * d, abs(a * d - b * c)
        root = math.sqrt(max(squares * squares - 4 * determinant * determinant, 0.0))
        return math.sqrt(max((squares - root) / 2, 0.0))


# Of an image, the generator of this sample and epoch, and the sample's place in its index.
Draw: TypeAlias = Callable[[Encoded, np.random.Generator, int], View]


def stretched(size: Size, target: Size) -> View:
    """The whole image, its aspect ratio not kept: what inference sees."""
    (height, width), (rows, columns) = size, target
    return View(np.array([[width / columns, 0.0, 0.0], [0.0, height / rows, 0.0]]))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Draws nothing: `stretched`."""

    target: Size

    def __call__(self, image: Encoded, rng: np.random.Generator, sample: int = 0) -> View:
        return stretched(image.size, self.target)


@dataclass(frozen=True, slots=True)
class Crop:
    """What training of image classification sees, and its validation with level `none`.

    target: height and width of the crop.   resize: the shorter side beforehand; None: as the image is.
    level: `none` is the centre; `crop` a random place, mirrored every other time; `crop_color` also moves
    colours; `crop_color_transform` also rotates, shears and changes the aspect ratio.
    """

    target: Size
    resize: int | None = None
    level: Level = "none"

    def __call__(self, image: Encoded, rng: np.random.Generator, sample: int = 0) -> View:
        """Raises UserError for an image that is smaller than the crop."""
        canvas = self._canvas(image)
        step, left, top = self._place(canvas, rng)
        p, q, r, s = _warp(rng) if self.level == "crop_color_transform" else (1.0, 0.0, 0.0, 1.0)
        colour = _colour(rng) if self.level.startswith("crop_color") else None
        # About the centre of the canvas: x = cx + p (step column + left - cx) + q (row + top - cy), y alike.
        cy, cx = canvas[0] / 2, canvas[1] / 2
        x = cx + p * (left - cx) + q * (top - cy)
        y = cy + r * (left - cx) + s * (top - cy)
        down, across = image.size[0] / canvas[0], image.size[1] / canvas[1]
        rows = (
            (across * p * step, across * q, across * x),
            (down * r * step, down * s, down * y),
        )
        return View(np.array(rows), colour)

    def _canvas(self, image: Encoded) -> Size:
        """The image's size once it is resized."""
        height, width = image.size
        if self.resize is not None:
            shorter = min(height, width)
            height, width = self.resize * height // shorter, self.resize * width // shorter
        if height < self.target[0] or width < self.target[1]:
            size = f"{image.size[1]} x {image.size[0]} pixels"
            after = f", {width} x {height} after resize={self.resize}" if self.resize else ""
            raise UserError(
                f"{image.where} is {size}{after}: smaller than image_shape, {self.target[1]} x "
                f"{self.target[0]} (width x height); set resize to {max(self.target)} or more"
            )
        return height, width

    def _place(self, canvas: Size, rng: np.random.Generator) -> tuple[float, float, float]:
        """Columns of the canvas by column of the crop, and where column 0 and row 0 begin."""
        high, wide = canvas[0] - self.target[0], canvas[1] - self.target[1]
        if self.level == "none":
            return 1.0, wide // 2, high // 2
        u, v, w = rng.random(3).tolist()
        top, left = _whole(u, 0, high), _whole(v, 0, wide)
        return (-1.0, left + self.target[1], top) if w < 0.5 else (1.0, left, top)


def _whole(u: float, least: int, most: int) -> int:
    """A whole number from `least` to `most`, by a number in [0, 1)."""
    return least + int(u * (most - least + 1))


def _warp(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """From the warped canvas back to the canvas, (2, 2) row by row: a whole angle of up to 10 degrees, shear
    m up to 0.1, aspect ratio r from 0.75 to 1.25."""
    u, v, w = rng.random(3).tolist()
    angle, m, r = math.radians(_whole(u, -10, 10)), 0.2 * v - 0.1, 0.75 + 0.5 * w
    hs, cos, sin = 2 / (1 + r), math.cos(angle), math.sin(angle)
    ws = r * hs
    p, q = hs * cos - m * ws * sin, hs * sin + m * ws * cos
    s, t = -ws * sin, ws * cos
    determinant = p * t - q * s
    return t / determinant, -q / determinant, -s / determinant, p / determinant


def _colour(rng: np.random.Generator) -> tuple[float, float, float, float]:
    u, v, w = rng.random(3).tolist()
    return float(_whole(u, -36, 36)), float(_whole(v, -50, 50)), float(_whole(w, -50, 50)), 0.0
