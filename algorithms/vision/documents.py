"""Labels of manifests: JSON, in which a number or a list of them may be a text."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from optml.errors import UserError, shown
from optml.formats.images.vectors import Vectors


def numbers(documents: Sequence[bytes], names: Sequence[str]) -> Vectors | None:
    """Labels such as `0`, `"0"`, `1.0`, `[1, 0, 1]`, `"[0, 2]"`; None where they are objects. Raises
    UserError, naming the image, for what is neither."""
    values, lengths = array("f"), array("q")
    for i, text in enumerate(documents):
        label = parsed(text)
        if i == 0 and isinstance(label, dict):
            return None
        row = label if isinstance(label, list) else [label]
        try:
            values.extend(float(value) if isinstance(value, (int, float, str)) else _none() for value in row)
        except ValueError:
            raise UserError(
                f"{names[i]} has the label {shown(label)}; expected a class such as 0, or a list of numbers"
            ) from None
        lengths.append(len(row))
    return Vectors.joined(np.array(values, np.float32), lengths)


def parsed(text: bytes) -> Any:
    """The value of a text of JSON, also where that is a text of JSON itself; what is none stays a text."""
    value: Any = text
    for _ in range(2):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(value, str):
            return value
    return value


def _none() -> float:
    raise ValueError
