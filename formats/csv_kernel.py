"""The loop over the cells of a plain CSV, compiled: see `csv_cells`, which runs it.

A decimal is m * 10^e, and where m < 2^53 and |e| <= 22 both are floats without error, so one multiplication
or division rounds rightly (W. D. Clinger, "How to read floating point numbers accurately", PLDI 1990).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numba import cfunc

from optml.formats import machine_code

POWERS = 10.0 ** np.arange(23)
EXACT = 1 << 53
_SIGNATURE = "int64(CPointer(uint8), int64, int64, int64, int64, int64, CPointer(float32), CPointer(float64))"


# Bare pointers, and no exception for a division by zero: so the code needs nothing of numba's when it runs.
@cfunc(_SIGNATURE, error_model="numpy")
def cells(text, size, delimiter, rows, columns, labels, features, targets):  # type: ignore[no-untyped-def]
    """The number of rows parsed; -1 where something is not plain. The text ends in a line feed, which stops
    every loop."""
    values = columns - labels
    at = 0
    row = 0
    while at < size:
        if row == rows:
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
                targets[row * labels + column] = value
            else:
                features[row * values + column - labels] = value
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


machine_code.store(cells, Path(__file__))
