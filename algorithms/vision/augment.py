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
    image in pixels.   colour: offsets of hue (0..180), lightness and saturation (0..255); None: none."""

    matrix: np.ndarray
    colour: tuple[float, float, float] | None = None

    @property
    def scale(self) -> float:
        """How far apart in the image neighbours of the output lie, in the direction where that is least: the
        smaller singular value."""
        (a, b, _), (c, d, _) = self.matrix.tolist()
        squares, determinant = a * a + b * b + c * c + d * d, abs(a * d - b * c)
        root = math.sqrt(max(squares * squares - 4 * determinant * determinant, 0.0))
        return math.sqrt(max((squares - root) / 2, 0.0))


# Of an image and the generator of this sample and epoch.
Draw: TypeAlias = Callable[[Encoded, np.random.Generator], View]


def stretched(size: Size, target: Size) -> View:
    """The whole image, its aspect ratio not kept: what inference sees."""
    (height, width), (rows, columns) = size, target
    return View(np.array([[width / columns, 0.0, 0.0], [0.0, height / rows, 0.0]]))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Draws nothing: `stretched`."""

    target: Size

    def __call__(self, image: Encoded, rng: np.random.Generator) -> View:
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

    def __call__(self, image: Encoded, rng: np.random.Generator) -> View:
        """Raises UserError for an image that is smaller than the crop."""
        canvas = self._canvas(image)
        matrix = np.eye(3)
        if self.level == "crop_color_transform":
            matrix = _warp(canvas, rng)
        matrix = matrix @ self._place(canvas, rng)
        scales = np.array([image.size[1] / canvas[1], image.size[0] / canvas[0]])
        colour = _colour(rng) if self.level.startswith("crop_color") else None
        return View(matrix[:2] * scales[:, None], colour)

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

    def _place(self, canvas: Size, rng: np.random.Generator) -> np.ndarray:
        """From the output to the canvas, (3, 3)."""
        spare = canvas[0] - self.target[0], canvas[1] - self.target[1]
        if self.level == "none":
            return _moved(spare[1] // 2, spare[0] // 2)
        top, left = (int(rng.integers(0, most, endpoint=True)) for most in spare)
        matrix = _moved(left, top)
        if rng.random() < 0.5:
            matrix = matrix @ np.array([[-1.0, 0, self.target[1]], [0, 1, 0], [0, 0, 1]])
        return matrix


def _moved(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def _warp(canvas: Size, rng: np.random.Generator) -> np.ndarray:
    """From the warped canvas back to the canvas, (3, 3): an angle of up to 10 degrees, shear m up to 0.1,
    aspect ratio r from 0.75 to 1.25, about the centre."""
    angle = math.radians(int(rng.integers(-10, 10, endpoint=True)))
    m, r = rng.uniform(-0.1, 0.1), rng.uniform(0.75, 1.25)
    hs, cos, sin = 2 / (1 + r), math.cos(angle), math.sin(angle)
    ws = r * hs
    forth = np.array([[hs * cos - m * ws * sin, hs * sin + m * ws * cos], [-ws * sin, ws * cos]])
    back = np.eye(3)
    back[:2, :2] = np.linalg.inv(forth)
    y, x = canvas[0] / 2, canvas[1] / 2
    matrix: np.ndarray = _moved(x, y) @ back @ _moved(-x, -y)
    return matrix


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    hue, lightness, saturation = (int(rng.integers(-most, most, endpoint=True)) for most in (36, 50, 50))
    return float(hue), float(lightness), float(saturation)
