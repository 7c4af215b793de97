"""What the labels of an index mean: a class, or several of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from optml.algorithms.vision.index import FIRST, ImageIndex
from optml.errors import UserError
from optml.formats.images.vectors import Vectors

Form = Literal["multi-hot", "class-id"]


def classes(index: ImageIndex, num_classes: int) -> np.ndarray:
    """The class of each image, (n,) int64: the first number of its label. Raises UserError for labels that
    are no whole number from 0 to num_classes - 1."""
    labels = _vectors(index)
    empty = np.flatnonzero(labels.lengths == 0)
    if len(empty):
        raise UserError(f"{_shown(index, empty)} without a label; expected a class from 0 on")
    first = labels.values[labels.starts[:-1]]
    _require_classes(index, first, np.arange(len(first)), num_classes)
    numbers: np.ndarray = first.astype(np.int64)
    return numbers


def multi_hot(index: ImageIndex, num_classes: int, form: Form = "multi-hot") -> np.ndarray:
    """Which classes each image has, (n, num_classes) bool. A label of one number is a class id in both forms.
    Raises UserError for labels of another count, or other than 0 and 1, or outside of the classes."""
    labels = _vectors(index)
    lengths = labels.lengths
    of_number = np.repeat(np.arange(len(labels)), lengths)
    hot = np.zeros((len(labels), num_classes), bool)
    ids = np.ones(len(labels), bool) if form == "class-id" else lengths == 1
    is_id = ids[of_number]
    _require_classes(index, labels.values[is_id], of_number[is_id], num_classes)
    hot[of_number[is_id], labels.values[is_id].astype(np.int64)] = True
    wrong = np.flatnonzero(~ids & (lengths != num_classes))
    if len(wrong):
        raise UserError(
            f"Mismatch between number of labels in the multi-label data ({lengths[wrong[0]]}) and the "
            f"num_classes parameter ({num_classes}): {_shown(index, wrong)}; class ids need the content "
            "type's parameter label-format=class-id"
        )
    values = labels.values[~is_id]
    other = (values != 0) & (values != 1)
    if other.any():
        where = np.unique(of_number[~is_id][other])
        raise UserError(
            f"{_shown(index, where)} with a label of {values[other][0]:g}; expected 0 or 1 for each class, "
            "or the content type's parameter label-format=class-id"
        )
    hot[~ids] = values.reshape(-1, num_classes).astype(bool)
    return hot


def _vectors(index: ImageIndex) -> Vectors:
    if index.labels is None:
        raise UserError("the images have no labels of numbers")
    return index.labels


def _require_classes(index: ImageIndex, values: np.ndarray, images: np.ndarray, num_classes: int) -> None:
    wrong = ~((values >= 0) & (values < num_classes) & (values == np.floor(values)))
    if not wrong.any():
        return
    first = int(np.flatnonzero(wrong)[0])
    whole = (np.isfinite(values) & (values == np.floor(values))).all()
    shifted = whole and values.min() == 1 and values.max() == num_classes
    hint = f"; all are from 1 to {num_classes}: take 1 away from each" if shifted else ""
    if not shifted and whole and values.max() >= num_classes and values.min() >= 0:
        hint = f"; the largest is {values.max():g}: num_classes would be {int(values.max()) + 1}"
    raise UserError(
        f"{_shown(index, np.unique(images[wrong]))} with a label such as {values[first]:g}; expected a whole "
        f"number from 0 to {num_classes - 1} (num_classes={num_classes}){hint}"
    )


def _shown(index: ImageIndex, images: np.ndarray) -> str:
    """`1 image (a.jpg)`, `7 images (a.jpg, ...)`."""
    names = ", ".join(index.names[i] for i in images[:FIRST].tolist())
    more = ", ..." if len(images) > FIRST else ""
    return f"{len(images)} image{'s' * (len(images) > 1)} ({names}{more})"


def names_of(class_names: Mapping[int, str], num_classes: int) -> list[str] | None:
    """The name of each class; None where not all are known."""
    known = [class_names.get(number) for number in range(num_classes)]
    return [name for name in known if name is not None] if None not in known else None
