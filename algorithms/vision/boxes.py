"""Labels of object detection: the boxes in each image, from packed vectors of a `.rec` or `.lst`, or from
JSON.

A packed label is `[A, B, A - 2 more, then B numbers of each object]`: A the numbers before the first object,
B of an object: class, xmin, ymin, xmax, ymax as fractions of the image, and, where B is 6, difficult (1 or
0).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optml.algorithms.vision.augment import Size, View
from optml.algorithms.vision.documents import parsed
from optml.algorithms.vision.index import FIRST, ImageIndex
from optml.errors import UserError, shown

log = logging.getLogger(__name__)

MOST = 1 << 24  # of a number in a label; up to here float32 has every whole one
COLUMNS = 6  # class, xmin, ymin, xmax, ymax, difficult
PADDING = -1.0  # class of an object that is none
OUTSIDE = 1e-3  # fractions may lie beside the image by so much
UNUSABLE = 0.01  # of all boxes, without an extent
ASPECT = 0.01  # the most that a told size's aspect ratio may differ from the image's, relatively
EXPECTED = (
    '{"image_size": [{"width", "height"}], "annotations": [{"class_id", "left", "top", "width", "height"}]}'
)


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """values: (m, 6) float32: class, xmin, ymin, xmax, ymax as fractions of the image, difficult.
    starts: (n + 1,) int64, of each image.   sizes: (n, 2) int64, height and width that were told; 0: none."""

    values: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        """(k, 6) of image i."""
        return self.values[self.starts[i] : self.starts[i + 1]]

    @property
    def most(self) -> int:
        """Of one image."""
        return int(np.diff(self.starts).max(initial=0))

    def require_size(self, i: int, size: Size, where: str) -> None:
        """Raises UserError where the image has another aspect ratio than its annotation tells; another size
        does, since boxes are fractions."""
        height, width = self.sizes[i].tolist()
        if height and abs(width * size[0] / (height * size[1]) - 1) > ASPECT:
            raise UserError(
                f"{where} is {size[1]} x {size[0]} pixels, its annotation is about {width} x {height}: the "
                "aspect "
                "ratios differ, so the boxes are another image's"
            )


def boxes(index: ImageIndex, num_classes: int) -> Boxes:
    """The boxes of an index's labels or documents. Raises UserError naming the image and the object."""
    if index.documents is not None and index.labels is None:
        rows, sizes = _of_documents(index)
    else:
        rows, sizes = _of_vectors(index), np.zeros((len(index), 2), np.int64)
    images = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
    values = np.concatenate([np.empty((0, COLUMNS), np.float32), *rows])
    if not len(values):
        raise UserError("none of the images has a box")
    _require_classes(index, values, images, num_classes)
    wide = (values[:, 3] > values[:, 1]) & (values[:, 4] > values[:, 2])
    _warn_of_unusable(index, images[~wide], len(values))
    counts = np.bincount(images[wide], minlength=len(rows))
    return Boxes(values[wide], np.concatenate([np.zeros(1, np.int64), counts.cumsum()]), sizes)


def _of_vectors(index: ImageIndex) -> list[np.ndarray]:
    labels = index.labels
    if labels is None:
        raise UserError("the images have no boxes")
    return [_unpacked(labels[i], index.names[i]) for i in range(len(labels))]


def _unpacked(label: np.ndarray, name: str) -> np.ndarray:
    """(k, 6) of one packed label."""
    if len(label) == 1:
        raise UserError(
            f"Not enough label packed in img_list or rec file. {name} has the single label {label[0]:g}, a "
            "class "
            "as image classification has it; boxes need im2rec's --pack-label"
        )
    whole = (np.abs(label[:2]) < MOST) & (label[:2] == np.floor(label[:2]))
    head, size = np.where(whole, label[:2], 0).astype(np.int64).tolist() if len(label) > 1 else (0, 0)
    if head < 2 or size not in (5, 6) or len(label) < head or (len(label) - head) % size:
        numbers = ", ".join(f"{number:g}" for number in label[:8].tolist())
        raise UserError(
            f"{name} has a label of {len(label)} numbers, {numbers}{', ...' * (len(label) > 8)}; expected "
            "the "
            "width of its header (2), that of an object (5 or 6), and so many numbers of each object: class, "
            "xmin, "
            "ymin, xmax, ymax"
        )
    objects = label[head:].reshape(-1, size)
    objects = objects[objects[:, 0] != PADDING]
    corners = objects[:, 1:5]
    beside = ~((corners >= -OUTSIDE) & (corners <= 1 + OUTSIDE))  # NaN too
    if beside.any():
        at = int(np.flatnonzero(beside.any(axis=1))[0])
        value = float(corners[at][beside[at]][0])
        hint = "; are these pixels? Divide by the image's width and height" if value > 1.5 else ""
        raise UserError(
            f"object {at} of {name} has the corner {value:g}; expected fractions from 0 to 1{hint}"
        )
    rows = np.zeros((len(objects), COLUMNS), np.float32)
    rows[:, : objects.shape[1]] = objects
    rows[:, 1:5] = corners.clip(0, 1)
    return rows


def _of_documents(index: ImageIndex) -> tuple[list[np.ndarray], np.ndarray]:
    assert index.documents is not None
    objects, sizes = [], np.zeros((len(index), 2), np.int64)
    for i, text in enumerate(index.documents):
        name = index.beside[i] if index.beside is not None else index.names[i]
        document = parsed(text)
        try:
            about, annotations = document["image_size"][0], document["annotations"]
            height, width = _number(about, "height", name), _number(about, "width", name)
        except (TypeError, KeyError, IndexError):
            raise UserError(f"{name} lacks image_size or annotations; expected {EXPECTED}") from None
        if height < 1 or width < 1 or not isinstance(annotations, list):
            raise UserError(f"{name} has the image_size {shown(about)}; expected {EXPECTED}")
        sizes[i] = height, width
        rows = [_row(annotation, f"annotation {k} of {name}") for k, annotation in enumerate(annotations)]
        values = np.array(rows, np.float32).reshape(-1, COLUMNS)
        values[:, [1, 3]] = (values[:, [1, 3]] / width).clip(0, 1)
        values[:, [2, 4]] = (values[:, [2, 4]] / height).clip(0, 1)
        objects.append(values)
    return objects, sizes


def _row(annotation: Any, where: str) -> Sequence[float]:
    """In pixels."""
    keys = ("class_id", "left", "top", "width", "height")
    number, left, top, width, height = (_number(annotation, key, where) for key in keys)
    return number, left, top, left + width, top + height, 0.0


def _number(item: Any, key: str, where: str) -> float:
    value = item.get(key) if isinstance(item, dict) else None
    if isinstance(value, str):  # class ids of Ground Truth's older jobs
        value = parsed(value.encode())
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < MOST:
        raise UserError(f"{where} has no number '{key}'; expected {EXPECTED}")
    return float(value)


def _require_classes(index: ImageIndex, values: np.ndarray, images: np.ndarray, num_classes: int) -> None:
    ids = values[:, 0]
    wrong = np.flatnonzero(~((ids >= 0) & (ids < num_classes) & (ids == np.floor(ids))))
    if not len(wrong):
        return
    shifted = (ids == np.floor(ids)).all() and ids.min() == 1 and ids.max() == num_classes
    hint = f"; all are from 1 to {num_classes}: take 1 away from each" if shifted else ""
    raise UserError(
        f"{len(wrong)} boxes, the first in {index.names[images[wrong[0]]]}, have a class such as "
        f"{ids[wrong[0]]:g}; "
        f"expected a whole number from 0 to {num_classes - 1} (num_classes={num_classes}){hint}"
    )


def _warn_of_unusable(index: ImageIndex, images: np.ndarray, count: int) -> None:
    """Of boxes without an extent."""
    if not len(images):
        return
    names = ", ".join(index.names[i] for i in np.unique(images)[:FIRST].tolist())
    text = f"{len(images)} of {count} boxes have no width or height within the image ({names})"
    if len(images) > max(1, UNUSABLE * count):
        raise UserError(f"{text}; up to 1 % are left out. Are xmin, ymin, xmax, ymax in this order?")
    log.warning("%s; they are left out", text)


def moved(values: np.ndarray, view: View, size: Size, target: Size) -> np.ndarray:
    """Boxes (k, 6) as fractions of an image of `size` (height, width), as fractions of the output of
    `target`: what encloses the corners, and may reach beside it."""
    (p, q, x), (r, s, y) = view.matrix.tolist()
    determinant = p * s - q * r
    result = values.copy()
    across, down = values[:, [1, 3, 1, 3]] * size[1] - x, values[:, [2, 2, 4, 4]] * size[0] - y
    columns, rows = (s * across - q * down) / determinant, (p * down - r * across) / determinant
    result[:, 1], result[:, 3] = columns.min(axis=1) / target[1], columns.max(axis=1) / target[1]
    result[:, 2], result[:, 4] = rows.min(axis=1) / target[0], rows.max(axis=1) / target[0]
    return result
