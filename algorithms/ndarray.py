"""MXNet's NDArray list files, in which AWS's images keep a model's arrays; read and written without MXNet.

Little-endian throughout:

    u64 0x112 | u64 0 | u64 number of arrays | arrays | u64 number of names (0: a plain list) | names
    name:       u64 length | bytes
    array (v2): u32 0xF993FAC9 | i32 storage type | [shape of the values, if row-sparse] | shape
                | i32 device type | i32 device id | i32 dtype | [i32 dtype, shape of the row numbers]
                | values | [row numbers]
    array (v1): u32 0xF993FAC8, then as v2 without storage type
    array (v0): no magic; the first u32 is the number of dimensions, and sizes are u32
    shape:      u32 number of dimensions | i64 per size

Storage type 0 is dense, 1 row-sparse. An array of no dimensions stands for "none" and ends after its shape.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optml.errors import UserError

LIST = 0x112
V1 = 0xF993FAC8
V2 = 0xF993FAC9
DENSE, ROW_SPARSE = 0, 1
DTYPES = tuple(
    np.dtype(code) for code in ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8")
)  # by MXNet's number
MAX_DIMENSIONS = 32  # NumPy 1's limit; MXNet's operators stop at far fewer


@dataclass(frozen=True, slots=True)
class RowSparse:
    """An array of which only some rows are stored; all others are zero.

    values: (r, ...) the stored rows.   rows: (r,) int64, their numbers.   shape: of the whole array.
    """

    values: np.ndarray
    rows: np.ndarray
    shape: tuple[int, ...]

    def dense(self) -> np.ndarray:
        """The whole array; may be far larger than what was read."""
        whole = np.zeros(self.shape, self.values.dtype)
        whole[self.rows] = self.values
        return whole


def decode(data: bytes, source: str) -> tuple[list[np.ndarray | RowSparse], list[str]]:
    """Read a list file: its arrays and their names as written ("arg:fc_weight"), or no names.

    The arrays are read-only views of `data`. Raises UserError that names `source`, the offset and what was
    found there, for anything but a whole, sound file.
    """
    reader = _Reader(data, source)
    magic = reader.number("<Q", "the magic number of the file")
    if magic != LIST:
        raise reader.error(
            0, f"the file begins with {magic:#x}, not with 0x112: this is no MXNet NDArray list"
        )
    reader.number("<Q", "the reserved field")
    arrays = [reader.array() for _ in range(reader.count("arrays", smallest=8))]
    names = [reader.name() for _ in range(reader.count("names", smallest=8))]
    if names and len(names) != len(arrays):
        raise reader.error(reader.at, f"{len(arrays)} arrays, but {len(names)} names")
    if reader.at != len(data):
        raise reader.error(reader.at, f"{len(data) - reader.at} bytes too many at the end")
    return arrays, names


def read(path: Path, algorithm: str) -> tuple[list[np.ndarray | RowSparse], list[str]]:
    """As `decode`, of the file in which AWS's image of that algorithm keeps its model. Raises UserError for
    what is no such list, too."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if data.startswith(b"PK"):
        raise UserError(
            f"{path} is a ZIP archive, as other algorithms write; {algorithm} writes an MXNet NDArray list"
        )
    return decode(data, str(path))


def encode(arrays: Sequence[np.ndarray | RowSparse], names: Sequence[str] = ()) -> bytes:
    """Write a list file (v2). Raises ValueError for a dtype MXNet lacks, for an array of no dimensions and
    where there are names, but not one for each array."""
    if names and len(names) != len(arrays):
        raise ValueError(f"{len(arrays)} arrays, but {len(names)} names")
    parts = [struct.pack("<QQQ", LIST, 0, len(arrays))]
    for array in arrays:
        parts += _sparse_parts(array) if isinstance(array, RowSparse) else _dense_parts(array)
    parts.append(struct.pack("<Q", len(names)))
    for name in names:
        text = name.encode()
        parts += [struct.pack("<Q", len(text)), text]
    return b"".join(parts)


def _dense_parts(array: np.ndarray) -> list[bytes]:
    code, values = _plain(array)
    return [struct.pack("<Ii", V2, DENSE), _shape(array.shape), struct.pack("<iii", 1, 0, code), values]


def _sparse_parts(array: RowSparse) -> list[bytes]:
    code, values = _plain(array.values)
    index_code, rows = _plain(array.rows.astype(np.int64))
    return [
        struct.pack("<Ii", V2, ROW_SPARSE),
        _shape(array.values.shape),
        _shape(array.shape),
        struct.pack("<iiii", 1, 0, code, index_code),
        _shape(array.rows.shape),
        values,
        rows,
    ]


def _plain(array: np.ndarray) -> tuple[int, bytes]:
    """MXNet's number of the dtype, and the values in C order."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in DTYPES:
        raise ValueError(f"MXNet has no arrays of {array.dtype}")
    return DTYPES.index(dtype), array.astype(dtype, copy=False).tobytes()


def _shape(shape: tuple[int, ...]) -> bytes:
    if not shape:
        raise ValueError("MXNet has no arrays of no dimensions")
    return struct.pack(f"<I{len(shape)}q", len(shape), *shape)


class _Reader:
    """A place in the bytes of a file that does not trust them."""

    def __init__(self, data: bytes, source: str) -> None:
        self.data = data
        self.source = source
        self.at = 0

    def error(self, offset: int, problem: str) -> UserError:
        return UserError(f"{self.source} is damaged or of another kind: at byte {offset}, {problem}")

    def take(self, count: int, what: str) -> int:
        """Step over `count` bytes and return where they begin."""
        left = len(self.data) - self.at
        if count > left:
            raise self.error(self.at, f"{what} should take {count} bytes, but only {left} are left")
        self.at += count
        return self.at - count

    def number(self, layout: str, what: str) -> int:
        (value,) = struct.unpack_from(layout, self.data, self.take(struct.calcsize(layout), what))
        return int(value)

    def count(self, what: str, smallest: int) -> int:
        at = self.at
        count = self.number("<Q", f"the number of {what}")
        if count * smallest > len(self.data) - self.at:
            raise self.error(at, f"{count} {what} are announced, more than the rest of the file can hold")
        return count

    def shape(self, dimensions: int, size: str = "q") -> tuple[int, ...]:
        at = self.at
        if dimensions > MAX_DIMENSIONS:
            raise self.error(at, f"an array of {dimensions} dimensions is announced")
        layout = f"<{dimensions}{size}"
        shape = struct.unpack_from(layout, self.data, self.take(struct.calcsize(layout), "a shape"))
        if any(extent < 0 for extent in shape):
            raise self.error(at, f"the shape {shape} has a negative size")
        return shape

    def dtype(self, what: str) -> np.dtype:
        at = self.at
        code = self.number("<i", f"the dtype of {what}")
        if not 0 <= code < len(DTYPES):
            raise self.error(at, f"{what} have dtype number {code}; known are 0 to {len(DTYPES) - 1}")
        return DTYPES[code]

    def values(self, shape: tuple[int, ...], dtype: np.dtype, what: str) -> np.ndarray:
        count = math.prod(shape)
        at = self.take(count * dtype.itemsize, f"{what} of shape {shape} and dtype {dtype}")
        return np.frombuffer(self.data, dtype, count, at).reshape(shape)

    def array(self) -> np.ndarray | RowSparse:
        at = self.at
        magic = self.number("<I", "the head of an array")
        storage = DENSE
        if magic == V2:
            storage = self.number("<i", "a storage type")
            if storage not in (DENSE, ROW_SPARSE):
                raise self.error(
                    at + 4, f"the storage type is {storage}; known are 0 (dense) and 1 (row-sparse)"
                )
        stored = self.shape(self.number("<I", "the rank of an array")) if storage == ROW_SPARSE else ()
        if magic in (V1, V2):
            shape = self.shape(self.number("<I", "the rank of an array"))
        else:
            shape = self.shape(magic, "I")
        if not shape:
            return np.empty(0, np.float32)
        self.take(8, "a device")
        dtype = self.dtype("the values")
        if storage == DENSE:
            return self.values(shape, dtype, "an array")
        return self.row_sparse(stored, shape, dtype)

    def row_sparse(self, stored: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype) -> RowSparse:
        at = self.at
        index_dtype = self.dtype("the row numbers")
        index_shape = self.shape(self.number("<I", "the rank of the row numbers"))
        if index_dtype.kind not in "iu" or len(stored) != len(shape) or stored[1:] != shape[1:]:
            raise self.error(at, f"stored rows of shape {stored} do not belong to an array of shape {shape}")
        if index_shape != stored[:1]:
            raise self.error(at, f"{stored[0]} rows are stored, but their numbers have shape {index_shape}")
        values = self.values(stored, dtype, "the stored rows")
        rows = self.values(index_shape, index_dtype, "the row numbers").astype(np.int64)
        if rows.size and not 0 <= rows.min() <= rows.max() < shape[0]:
            raise self.error(at, f"a row number lies outside the {shape[0]} rows of the array")
        return RowSparse(values, rows, shape)

    def name(self) -> str:
        at = self.at
        length = self.number("<Q", "the length of a name")
        start = self.take(length, "a name")
        try:
            return bytes(self.data[start : self.at]).decode()
        except UnicodeDecodeError:
            raise self.error(at, "a name is not text in UTF-8") from None
