"""Records encoded as RecordIO-protobuf, byte for byte as AWS's own writer does it.

Frames are never split. Dense rows are equal-sized: one template, repeated, with the values written into it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats.recordio import frame, framed
from optml.formats.records import Columns, Records

TensorType = Literal["float32", "float64", "int32"]

_FIELD = {"float32": 2, "float64": 3, "int32": 7}  # of Value
_DTYPE: dict[str, np.dtype] = {"float32": np.dtype("<f4"), "float64": np.dtype("<f8")}
_FEW = 256  # whole numbers up to which NumPy costs more than it saves
_FEATURES, _LABEL, _UID, _METADATA = 1, 2, 3, 4  # fields of Record


def encode(
    records: Records, *, features_type: TensorType = "float32", labels_type: TensorType = "float32"
) -> bytes:
    """One framed Record per row: features `values`, label `values` if there are labels.

    Sparse rows keep their explicit entries. Weights go under the label key `weights`, uids and metadata where
    they belong. Raises UserError if int32 is asked for and a value is not integral or out of range.
    """
    labels, features = records.labels, records.features
    extra = records.weights is not None or records.uids is not None or records.metadata is not None
    if isinstance(features, csr_array) or extra or "int32" in (features_type, labels_type):
        return _row_by_row(records, features_type, labels_type)
    fields = [(_FEATURES, "values", features.astype(_DTYPE[features_type], copy=False))]
    if labels is not None and labels.shape[1]:
        fields.append((_LABEL, "values", labels.astype(_DTYPE[labels_type], copy=False)))
    return _equal_sized(fields)


def encode_columns(
    columns: Columns, uids: Sequence[str] | None = None, metadata: Sequence[str] | None = None
) -> bytes:
    """The answer to a request: one framed Record per row, each column a float32 entry of its label map.

    columns: name -> (n,) or (n, m), masked where rows hold fewer. uids, metadata: n texts copied from the
    request's records, "" for none.
    """
    if any(np.ma.isMaskedArray(column) for column in columns.values()):
        return b"".join(_ragged(columns, uids, metadata))
    fields = []
    for name, column in columns.items():
        values = np.asarray(column, "<f4")
        fields.append((_LABEL, name, values.reshape(len(values), *values.shape[1:2] or (1,))))
    if uids is None and metadata is None:
        return _equal_sized(fields)
    whole = _equal_sized(fields)
    n = len(fields[0][2]) if fields else 0
    stride = len(whole) // n if n else 0
    out = []
    for row in range(n):
        length = struct.unpack_from("<I", whole, row * stride + 4)[0]
        message = whole[row * stride + 8 : row * stride + 8 + length]
        for field, texts in ((_UID, uids), (_METADATA, metadata)):
            if texts is not None and texts[row]:
                message += _nested(field, texts[row].encode())
        out.append(frame(message))
    return b"".join(out)


def record_of(features: Mapping[str, np.ndarray]) -> bytes:
    """One framed Record with these features, (n,) float32 or int32 each, in their order; large ones are
    copied once. Raises UserError for more than a frame can hold."""
    parts: list[bytes | memoryview] = []
    for key, values in features.items():
        if values.dtype == np.int32:
            whole = values.astype(np.uint64)
            if len(whole) < _FEW:
                content: bytes | memoryview = b"".join(map(_varint, whole.tolist()))
            else:
                content = b"".join(_varints(whole, np.array([0, len(whole)])))
            kind = _FIELD["int32"]
        else:
            content, kind = np.ascontiguousarray(values, "<f4").data.cast("B"), _FIELD["float32"]
        heads = [_nested(1, key.encode())]
        length = len(content)
        for field in (1, kind, 2):  # the values, their tensor, the value of the map's entry
            heads.insert(1, bytes([field << 3 | 2]) + _varint(length))
            length += len(heads[1])
        parts += [bytes([_FEATURES << 3 | 2]), _varint(length + len(heads[0])), *heads, content]
    return framed(parts)


def note(metadata: str) -> bytes:
    """One framed Record of nothing but metadata."""
    return frame(_nested(_METADATA, metadata.encode()))


def _ragged(columns: Columns, uids: Sequence[str] | None, metadata: Sequence[str] | None) -> Iterator[bytes]:
    """Rows whose tensors differ in size, each by itself."""
    for row in range(len(next(iter(columns.values())))):
        alone = {}
        for name, column in columns.items():
            values = column[row]
            alone[name] = np.ma.compressed(values)[None] if column.ndim > 1 else column[row : row + 1]
        yield encode_columns(alone, uids and uids[row : row + 1], metadata and metadata[row : row + 1])


def _equal_sized(fields: Sequence[tuple[int, str, np.ndarray]]) -> bytes:
    """Rows whose tensors all have the same sizes. fields: (field of Record, map key, (n, m) array)."""
    if not fields:
        return b""
    n = len(fields[0][2])
    shapes = tuple((field, key, values.shape[1], values.dtype.str) for field, key, values in fields)
    template, places = _template(shapes)
    if n == 1:  # a server's commonest answer
        one = bytearray(template)
        for (start, stop), (_, _, values) in zip(places, fields, strict=True):
            one[start:stop] = values.tobytes()
        return bytes(one)
    out = np.empty((n, len(template)), np.uint8)
    parts = [np.ascontiguousarray(values).view(np.uint8) for _, _, values in fields]
    constant = np.frombuffer(template, np.uint8)
    strip = max(1, (1 << 18) // len(template))  # rows at a time, so that they are still in the cache
    for row in range(0, n, strip):
        rows = out[row : row + strip]
        position = 0
        for (start, stop), part in zip(places, parts, strict=True):
            rows[:, position:start] = constant[position:start]
            rows[:, start:stop] = part[row : row + strip]
            position = stop
        rows[:, position:] = constant[position:]
    return out.tobytes()


@lru_cache(maxsize=256)
def _template(shapes: tuple[tuple[int, str, int, str], ...]) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The frame of a row of zeros, and where the values of each tensor lie in it."""
    message = b""
    places = []
    for field, key, size, dtype in shapes:
        kind = _FIELD["float32" if dtype == "<f4" else "float64"]
        length = size * np.dtype(dtype).itemsize
        tensor = _nested(1, bytes(length)) if length else b""
        message += _nested(field, _nested(1, key.encode()) + _nested(2, _nested(kind, tensor)))
        places.append((8 + len(message) - length, 8 + len(message)))
    return frame(message), tuple(places)


def _nested(field: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return bytes([field << 3 | 2]) + _varint(len(content)) + content


@lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


@dataclass(frozen=True, slots=True)
class _Column:
    """One map entry of every row, its elements packed."""

    field: int
    key: str
    type_: TensorType
    values: list[bytes]
    keys: list[bytes] | None = None  # None: dense
    width: int = 0  # of sparse rows

    def entry(self, row: int) -> bytes:
        values = self.values[row]
        if self.keys is None:
            before, _ = _around(self.field, self.key, self.type_, len(values), 0, 0)
            return before + values
        keys = self.keys[row]
        before, between = _around(self.field, self.key, self.type_, len(values), len(keys), self.width)
        return b"".join((before, values, between, keys, _shape(self.width)))


@lru_cache(maxsize=1 << 16)
def _around(field: int, key: str, type_: str, values: int, keys: int, width: int) -> tuple[bytes, bytes]:
    """What stands before the values of an entry, and between them and the keys, by their sizes in bytes."""
    shape = _shape(width) if width else b""
    tensor = (
        (_nested(1, bytes(values)) if values else b"") + (_nested(2, bytes(keys)) if keys else b"") + shape
    )
    between = _nested(2, bytes(keys))[:-keys] if keys else b""
    entry = _nested(field, _nested(1, key.encode()) + _nested(2, _nested(_FIELD[type_], tensor)))
    return entry[: len(entry) - len(shape) - keys - len(between) - values], between


@lru_cache(maxsize=16)
def _shape(width: int) -> bytes:
    return _nested(3, _varint(width))


def _row_by_row(records: Records, features_type: TensorType, labels_type: TensorType) -> bytes:
    """Records of different sizes: elements are packed all at once, messages put together one by one."""
    n = len(records)
    features = records.features
    if isinstance(features, csr_array):
        edges = features.indptr.astype(np.int64)
        keys = _varints(features.indices.astype(np.uint64), edges)
        values = _packed(features.data, edges, features_type)
        columns = [_Column(_FEATURES, "values", features_type, values, keys, features.shape[1])]
    else:
        columns = [_Column(_FEATURES, "values", features_type, _packed_rows(features, features_type))]
    if records.labels is not None and records.labels.shape[1]:
        columns.append(_Column(_LABEL, "values", labels_type, _packed_rows(records.labels, labels_type)))
    if records.weights is not None:
        weights = _packed_rows(records.weights[:, None], "float32")
        columns.append(_Column(_LABEL, "weights", "float32", weights))
    out = []
    for row in range(n):
        message = b"".join([column.entry(row) for column in columns])
        for field, texts in ((_UID, records.uids), (_METADATA, records.metadata)):
            if texts is not None and texts[row]:
                message += _nested(field, texts[row].encode())
        out.append(frame(message))
    return b"".join(out)


def _packed_rows(values: np.ndarray, type_: TensorType) -> list[bytes]:
    return _packed(values.ravel(), np.arange(len(values) + 1) * values.shape[1], type_)


def _packed(values: np.ndarray, edges: np.ndarray, type_: TensorType) -> list[bytes]:
    """The packed elements of each row; edges: (n + 1,) where the rows' elements begin in `values`."""
    if type_ == "int32":
        wrong = ~(np.isfinite(values) & (np.abs(values + 0.5) < 2.0**31)) | (values % 1 != 0)
        if wrong.any():
            raise UserError(f"{values[wrong][0]} cannot be written as int32")
        return _varints(values.astype(np.int64).view(np.uint64), edges)
    dtype = _DTYPE[type_]
    data = np.ascontiguousarray(values, dtype).tobytes()
    return _slices(data, edges * dtype.itemsize)


def _varints(numbers: np.ndarray, edges: np.ndarray) -> list[bytes]:
    """The varints of each row's numbers, (m,) uint64."""
    sizes = np.ones(len(numbers), np.int64)
    for power in range(7, 64, 7):
        sizes += numbers >= np.uint64(1 << power)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    data = np.empty(ends[-1], np.uint8)
    at = ends[:-1]
    while len(numbers):  # the first byte of all, the second of those that have one, ...
        more = sizes > 1
        data[at] = (numbers & np.uint64(127)).astype(np.uint8) | more * np.uint8(128)
        numbers, sizes, at = numbers[more] >> np.uint64(7), sizes[more] - 1, at[more] + 1
    return _slices(data.tobytes(), ends[edges])


def _slices(data: bytes, edges: np.ndarray) -> list[bytes]:
    places = edges.tolist()
    return [data[start:stop] for start, stop in pairwise(places)]
