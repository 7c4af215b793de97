"""Labels of semantic segmentation: an image of class ids for each image.

Pixels of a file become labels by a label map: `{"scale": 3}` is floor(pixel / 3), where 255 is ignored;
`{"map": {"0": 5, "1": 0}}` has the pixel of each label, and ignores all others. Labels are uint8, 255:
ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from optml.algorithms.kernels.pixels import labels_cpu
from optml.algorithms.vision.augment import Size, View
from optml.algorithms.vision.index import ImageIndex
from optml.errors import UserError, shown
from optml.formats.images.mask import Mask

log = logging.getLogger(__name__)

IGNORED = 255


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """table: (256,) uint8, the label of each pixel value.   document: what it was read from."""

    table: np.ndarray
    document: Mapping[str, Any]

    @classmethod
    def of(cls, text: bytes | None, source: str) -> LabelMap:
        """From the JSON of a label map; None: scale 1. Raises UserError naming `source`."""
        if text is None:
            return cls(_scaled(1.0), {"scale": 1})
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise UserError(f"{source} is no JSON: {error}") from None
        if not isinstance(document, dict) or not document or document.keys() - {"scale", "map"}:
            raise UserError(
                f'{source} is {shown(document)}; expected {{"scale": 3}} or {{"map": {{"0": 5, "1": 0}}}}'
            )
        if "map" in document:
            return cls(_mapped(document["map"], source), {"map": document["map"]})
        return cls(_scaled(_scale(document["scale"], source)), {"scale": document["scale"]})

    @property
    def text(self) -> str:
        """As the log prints it."""
        return str(self.document)


def _scaled(scale: float) -> np.ndarray:
    table = np.floor(np.arange(256) / scale).clip(0, 254).astype(np.uint8)
    table[IGNORED] = IGNORED
    return table


def _scale(value: Any, source: str) -> float:
    try:
        scale = float(value)
    except (TypeError, ValueError):
        scale = 0.0
    if not 0 < scale < 256:
        raise UserError(f"{source} has the scale {shown(value)}; expected a number from 1 on")
    return scale


def _mapped(pairs: Any, source: str) -> np.ndarray:
    table = np.full(256, IGNORED, np.uint8)
    if not isinstance(pairs, dict):
        raise UserError(f"{source} has the map {shown(pairs)}; expected label: pixel, as {{'0': 5, '1': 0}}")
    for key, value in pairs.items():
        label = int(key) if key.strip().isdecimal() else -1
        pixel = int(value) if str(value).strip().isdecimal() else -1
        if not (0 <= label < IGNORED and 0 <= pixel < 256):
            raise UserError(
                f"{source} maps {shown(key)} to {shown(value)}; expected a label from 0 to 254 and its pixel "
                "from 0 to 255"
            )
        table[pixel] = label
    return table


class Masks:
    """The masks of an index, as the views of its images see them. Several threads may ask.

    Raises UserError for a mask of another form, or size than its image, or with labels of no class.
    """

    def __init__(self, index: ImageIndex, label_map: LabelMap, num_classes: int) -> None:
        if index.masks is None:
            raise UserError("the images have no masks")
        self._contents = index.masks
        self._names = index.names if index.beside is None else index.beside
        self._map = label_map
        self._colours = index.colours
        self._num_classes = num_classes

    def labels(self, i: int, size: Size) -> np.ndarray:
        """(h, w) uint8 of image i, which has `size`."""
        values = self._pixels(i, size)
        table = self._map.table
        labels: np.ndarray = table[values]
        wrong = (labels >= self._num_classes) & (labels != IGNORED)
        if wrong.any():
            pixel = int(values[wrong][0])
            raise UserError(
                f"{self._names[i]} has {int(wrong.sum())} pixels of no class, such as {pixel} (label "
                f"{int(table[pixel])}); expected labels from 0 to {self._num_classes - 1} "
                f"(num_classes={self._num_classes}), and 255 for pixels to ignore; a label_map channel turns "
                "other values into these"
            )
        return labels

    def seen(self, i: int, size: Size, view: View, out: np.ndarray) -> None:
        """Write labels (height, width) uint8 of image i by the nearest pixel; 255 beside the image."""
        labels_cpu.nearest(self.labels(i, size), view.matrix.astype(np.float32), out)

    def palette(self, i: int = 0) -> bytes | None:
        """Of mask i: R, G, B of each value; None: it is grey."""
        return Mask.of(self._contents[i], self._names[i]).palette()

    def _pixels(self, i: int, size: Size) -> np.ndarray:
        mask = Mask.of(self._contents[i], self._names[i])
        if mask.size != size:
            raise UserError(
                f"{self._names[i]} is {mask.size[1]} x {mask.size[0]} pixels, its image {size[1]} x "
                f"{size[0]}; a "
                "mask has its image's size"
            )
        return mask.by_colour(self._colours) if self._colours else mask.values()
