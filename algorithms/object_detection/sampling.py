"""How a training image is seen: colours moved, mirrored, made small on a larger canvas, cropped (Liu et al.,
"SSD", ECCV 2016, sections 2.2 and 3.6), with the numbers of MXNet's example.

All is one affine map of the image, drawn here and applied in one pass (`vision.augment.View`); boxes follow
it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optml.algorithms.kernels.boxes.reference import overlaps
from optml.algorithms.vision.augment import Size, View, stretched
from optml.algorithms.vision.boxes import Boxes, moved
from optml.formats.images.decode import Encoded

HALF = 0.5  # how often each of these is done
HUE, LIGHTNESS, SATURATION, CONTRAST = 18, 32, 32, 0.5  # the most that each is moved by
CANVAS = 4.0  # sides of the canvas, in those of the image, at most
CROPS = (None, 0.1, 0.3, 0.5, 0.7, 0.9)  # the least IoU of a crop with some box; None: no crop
SCALE, ASPECT, TRIALS = (0.3, 1.0), (0.5, 2.0), 25  # of crops


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a network sees of the images of an index (`vision.augment.Draw`). boxes: their labels.
    side: of the square that they become.   random: False: the whole image, as inference sees it."""

    boxes: Boxes
    side: int
    random: bool

    def __call__(self, image: Encoded, rng: np.random.Generator, sample: int) -> View:
        """Raises UserError where the image is another than its annotation tells."""
        self.boxes.require_size(sample, image.size, image.where)
        target = (self.side, self.side)
        if not self.random:
            return stretched(image.size, target)
        left, top, width, height = _window(self.boxes[sample][:, 1:5], image.size, rng)
        mirror = rng.random() < HALF
        down, across = image.size
        step = across * width / self.side
        begin = across * (left + width) if mirror else across * left
        rows = (-step if mirror else step, 0.0, begin), (0.0, down * height / self.side, down * top)
        return View(np.array(rows), _colour(rng))

    def truths(self, sample: int, view: View, size: Size) -> np.ndarray:
        """(k, 6): the boxes that lie in a view of an image, by their centres, as fractions of the view."""
        rows = moved(self.boxes[sample], view, size, (self.side, self.side))
        centres = (rows[:, 1:3] + rows[:, 3:5]) / 2
        rows = rows[((centres >= 0) & (centres <= 1)).all(axis=1)]
        rows[:, 1:5] = rows[:, 1:5].clip(0, 1)
        flat = (rows[:, 3] <= rows[:, 1]) | (rows[:, 4] <= rows[:, 2])
        result: np.ndarray = rows[~flat]
        return result


def _window(boxes: np.ndarray, size: Size, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """What is seen, in fractions of the image: left, top, width, height; more than 1 where a canvas is
    seen."""
    left, top, sides = 0.0, 0.0, 1.0
    if rng.random() < HALF:
        sides = rng.uniform(1, CANVAS)
        left, top = (-rng.uniform(0, sides - 1) for _ in range(2))
    least = CROPS[int(rng.integers(len(CROPS)))]
    if least is None or not len(boxes):
        return left, top, sides, sides
    on_canvas = (boxes.astype(np.float64) - np.array([left, top, left, top])) / sides
    for _ in range(TRIALS):
        scale, wide = rng.uniform(*SCALE), size[1] / size[0]
        low = max(ASPECT[0] / wide, scale * scale)
        high = min(ASPECT[1] / wide, 1 / (scale * scale))
        ratio = math.sqrt(rng.uniform(low, max(low, high)))
        width, height = min(1.0, scale * ratio), min(1.0, scale / ratio)
        x, y = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        crop = np.array([[x, y, x + width, y + height]])
        centres = (on_canvas[:, :2] + on_canvas[:, 2:]) / 2
        inside = ((centres > crop[0, :2]) & (centres < crop[0, 2:])).all(axis=1)
        if inside.any() and overlaps(crop, on_canvas).max() >= least:
            return left + sides * x, top + sides * y, sides * width, sides * height
    return left, top, sides, sides


def _colour(rng: np.random.Generator) -> tuple[float, float, float, float]:
    moves = rng.uniform(-1, 1, 4) * (HUE, LIGHTNESS, SATURATION, CONTRAST) * (rng.random(4) < HALF)
    hue, lightness, saturation, contrast = moves.tolist()
    return round(hue), round(lightness), round(saturation), contrast
