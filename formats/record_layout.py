"""Equal-sized dense records read as one strided view, the way almost every RecordIO-protobuf file is.

The first record gives the template: where its values and labels lie, and what all other bytes are. As long as
each following frame has the same bytes everywhere else, nothing needs parsing. NumPy only: a server that
answers a dense request needs neither numba nor the protobuf library.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from optml.formats.recordio import MAGIC
from optml.formats.vectors import float32, float64

_FLOATS: dict[int, np.dtype] = {2: np.dtype("<f4"), 3: np.dtype("<f8")}  # field of Value -> element type
_INT32 = 7
_STRIP = 4 << 20  # bytes checked at a time: what differs early is found early


@dataclass(frozen=True, slots=True)
class Run:
    """Values that every record holds at the same place of its frame."""

    start: int
    stop: int
    dtype: np.dtype  # uint8: a single int32 below 128, one byte as a varint

    def view(self, frames: np.ndarray) -> np.ndarray:
        """(n, m) copy of the values out of (n, stride) bytes."""
        return np.ascontiguousarray(frames[:, self.start : self.stop]).view(self.dtype)


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """The bytes of one frame: its size, and the runs of bytes that may differ between records."""

    frame: bytes  # the first frame, without padding
    stride: int  # its size with padding
    features: Run
    label: Run | None

    @property
    def width(self) -> int:
        return (self.features.stop - self.features.start) // self.features.dtype.itemsize

    @classmethod
    def of(cls, data: bytes, at: int) -> RecordLayout | None:
        """The layout of the record whose frame begins at `at`; None if it is not whole, plain and dense."""
        if len(data) < at + 8:
            return None
        magic, length = struct.unpack_from("<II", data, at)
        if magic != MAGIC or length >> 29 or len(data) < at + 8 + length:
            return None
        frame = data[at : at + 8 + length]
        features = label = None
        position = 8
        while position < len(frame):
            field = _length_delimited(frame, position, len(frame))
            if field is None:
                return None
            number, start, position = field
            run = _values(frame, start, position)
            if run is None:
                return None
            if number == 1 and features is None and run.dtype != np.uint8:
                features = run
            elif number == 2 and label is None:
                label = run
            else:
                return None
        if features is None:
            return None
        return cls(frame, len(frame) + -len(frame) % 4, features, label)

    def frames(self, data: bytes, at: int) -> np.ndarray:
        """(n, stride) bytes of the frames from `at` on that have this layout, n >= 1."""
        whole = (len(data) - at) // self.stride
        if not whole:  # a single record whose padding is missing
            return np.frombuffer(data, np.uint8, len(self.frame), at)[None]
        strip = max(1, _STRIP // self.stride)
        good = 1
        while good < whole:
            rows = min(strip, whole - good)
            equal = self._equal(data, at + good * self.stride, rows)
            good += equal
            if equal < rows:
                break
        return np.frombuffer(data, np.uint8, good * self.stride, at).reshape(good, self.stride)

    def _equal(self, data: bytes, at: int, rows: int) -> int:
        """How many of the frames at `at`, from the first on, equal the template in all that may not vary.

        Up to eight bytes at a time, as one strided column: faster than comparing short stretches row by row.
        """
        position = 0
        runs = [self.features] if self.label is None else [self.features, self.label]
        end = Run(len(self.frame), len(self.frame), np.dtype(np.uint8))
        for run in (*sorted(runs, key=lambda run: run.start), end):
            while position < run.start:
                size = next(size for size in (8, 4, 2, 1) if size <= run.start - position)
                column = self._column(data, at + position, rows, size)
                rows = _leading(column == np.frombuffer(self.frame, f"<u{size}", 1, position)[0])
                position += size
            position = run.stop
        if self.label is not None and self.label.dtype == np.uint8:
            rows = _leading(self._column(data, at + self.label.start, rows, 1) < 128)
        return rows

    def _column(self, data: bytes, start: int, rows: int, size: int) -> np.ndarray:
        return np.ndarray((rows,), f"<u{size}", data, start, (self.stride,))

    def decode(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Features (n, d) float32 and labels (n, l) float64 or None, both C-contiguous copies."""
        features = float32(self.features.view(frames))
        return features, None if self.label is None else float64(self.label.view(frames))


def _leading(same: np.ndarray) -> int:
    """How many elements, from the first on, are true."""
    return len(same) if same.all() else int(np.argmin(same))


def _length_delimited(frame: bytes, at: int, end: int) -> tuple[int, int, int] | None:
    """Number, start and stop of the length-delimited field at `at`; None if it is another or not whole."""
    tag = frame[at]
    if tag & 7 != 2 or tag >= 128 or not tag >> 3:
        return None
    at += 1
    size = shift = 0
    while at < end and shift < 35:
        byte = frame[at]
        at += 1
        size |= (byte & 127) << shift
        if byte < 128:
            return (tag >> 3, at, at + size) if at + size <= end else None
        shift += 7
    return None


def _values(frame: bytes, at: int, end: int) -> Run | None:
    """The run of values of a map entry `values`, if it is one packed, dense tensor; else None."""
    if frame[at : at + 8] != b"\x0a\x06values":
        return None
    at += 8
    kind = 0
    for level in ("entry", "value", "tensor"):  # each holds exactly one field, up to its end
        field = _length_delimited(frame, at, end) if at < end else None
        if field is None or field[2] != end:
            return None
        number, at, _ = field
        if level == "value":
            kind = number
        elif number != (2 if level == "entry" else 1):
            return None
    if kind == _INT32 and end - at == 1:
        return Run(at, end, np.dtype(np.uint8))
    dtype = _FLOATS.get(kind)
    if dtype is None or end == at or (end - at) % dtype.itemsize:
        return None
    return Run(at, end, dtype)
