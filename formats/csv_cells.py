"""Plain CSV parsed by compiled code: several times as fast as the general reader.

Plain are digits with a sign, a point and an exponent; an empty cell is NaN. Whatever is not so, or has more
digits than are rounded rightly in one step, is left to `csv_reader.py`, and with it the whole text.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np

from optml.formats import machine_code

_KERNEL = Path(__file__).with_name("csv_kernel.py")
_SIGNATURE = ctypes.CFUNCTYPE(
    ctypes.c_int64,  # text, its size, delimiter, rows, columns, labels, features, targets
    ctypes.c_void_p,
    *[ctypes.c_int64] * 5,
    ctypes.c_void_p,
    ctypes.c_void_p,
)


def ready() -> bool:
    """Has the code been compiled, by this process or by one before it?"""
    return machine_code.load(_KERNEL) is not None


def build() -> None:
    """Compile the code, for this process and for those to come: takes seconds."""
    import_module("optml.formats.csv_kernel")


def parse(
    text: bytes, delimiter: str, rows: int, columns: int, labels: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Features (rows, columns - labels) float32 and labels (rows, labels) float64 of so many lines; None if
    any of them is not plain, or has other columns. Any thread may call it, once the code is `ready`."""
    if not text.endswith(b"\n"):
        text += b"\n"
    features = np.empty((rows, columns - labels), np.float32)
    targets = np.empty((rows, labels))
    start = np.frombuffer(text, np.uint8).ctypes.data
    count = _function()(
        start, len(text), ord(delimiter), rows, columns, labels, features.ctypes.data, targets.ctypes.data
    )
    return (features, targets) if count == rows else None


@cache
def _function() -> ctypes._CFunctionType:
    address = machine_code.load(_KERNEL)
    assert address is not None
    return _SIGNATURE(address)
