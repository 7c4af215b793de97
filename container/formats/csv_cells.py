"""Plain CSV parsed by compiled code: several times as fast as the general reader, for files that are large.

Plain are digits with a sign, a point and an exponent; an empty cell is NaN. A decimal is m * 10^e, and where
m < 2^53 and |e| <= 22 both are floats without error, so one multiplication or division rounds rightly (W. D.
Clinger, "How to read floating point numbers accurately", PLDI 1990). Whatever is not so is left to the
readers of `csv.py`, and with it the whole text.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

POWERS = 10.0 ** np.arange(23)
EXACT = 1 << 53
_SIGNATURE = types.int64(
    types.Array(types.uint8, 1, "C", readonly=True),
    types.int64,
    types.int64,
    types.float32[:, ::1],
    types.float64[:, ::1],
)


def parse(
    text: bytes, delimiter: str, rows: int, columns: int, labels: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Features (rows, columns - labels) float32 and labels (rows, labels) float64 of so many lines; None if
    any of them is not plain, or has other columns."""
    if not text.endswith(b"\n"):
        text += b"\n"
    features = np.empty((rows, columns - labels), np.float32)
    targets = np.empty((rows, labels))
    found = _parse(np.frombuffer(text, np.uint8), ord(delimiter), columns, features, targets)
    return (features, targets) if found == rows else None


@njit(_SIGNATURE, cache=True, nogil=True)
def _parse(text, delimiter, columns, features, targets):  # type: ignore[no-untyped-def]
    """The number of rows parsed; -1 where something is not plain. The text ends in a line feed, which stops
    every loop."""
    labels = targets.shape[1]
    at = 0
    row = 0
    while at < len(text):
        if row == len(features):
            return -1
        for column in range(columns):
            start = at
            negative = text[at] == 45  # -
            if negative or text[at] == 43:  # +
                at += 1
            mantissa = 0
            first = at
            while text[at] >= 48 and text[at] <= 57:
                mantissa = mantissa * 10 + (text[at] - 48)
                at += 1
            digits = at - first
            power = 0
            if text[at] == 46:  # .
                at += 1
                first = at
                while text[at] >= 48 and text[at] <= 57:
                    mantissa = mantissa * 10 + (text[at] - 48)
                    at += 1
                power = first - at
                digits += at - first
            if digits and (text[at] | 32) == 101:  # e
                at += 1
                down = text[at] == 45
                if down or text[at] == 43:
                    at += 1
                first = at
                exponent = 0
                while text[at] >= 48 and text[at] <= 57 and at - first < 4:
                    exponent = exponent * 10 + (text[at] - 48)
                    at += 1
                if at == first:
                    return -1
                power += -exponent if down else exponent
            value = np.nan
            if digits:
                if digits > 18 or mantissa > EXACT or power < -22 or power > 22:
                    return -1
                value = mantissa * POWERS[power] if power >= 0 else mantissa / POWERS[-power]
                if negative:
                    value = -value
            elif at != start or columns == 1:  # a sign or a point alone; a blank line, which is no row
                return -1
            if column < labels:
                targets[row, column] = value
            else:
                features[row, column - labels] = value
            if column < columns - 1:
                if text[at] != delimiter:
                    return -1
            else:
                if text[at] == 13:  # CR
                    at += 1
                if text[at] != 10:
                    return -1
            at += 1
        row += 1
    return row
