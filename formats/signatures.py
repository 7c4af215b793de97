"""What a file is that was said to be text, and is not: told by its first bytes."""

from __future__ import annotations

import re

from optml.errors import UserError

HEAD = 4096  # bytes that are looked at

_TABLE = "write it as CSV, Parquet or RecordIO-protobuf"
_PACKED = "unpack it, or pack it with gzip, which is the one that is read"
_OFFICE = "an Excel workbook or another document of Office"
_IMAGE = "a table of numbers was expected"

# Offset, first bytes, name, cure. What could begin a text as well is looked at twice: see `_BINARY`.
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"PAR1", "Parquet", "set the content type to application/x-parquet, or write CSV ('optml convert')"),
    (0, b"PARE", "encrypted Parquet", "write it without encryption"),
    (
        0,
        b"\x0a\x23\xd7\xce",
        "RecordIO",
        "set the content type to application/x-recordio-protobuf or, where a Pipe wraps each object in it, "
        "RecordWrapperType to RecordIO",
    ),
    (0, b"\x93NUMPY", "a NumPy array", "write it by numpy.savetxt, or convert it ('optml convert')"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5", _TABLE),
    (0, b"ARROW1", "Arrow (Feather)", _TABLE),
    (0, b"FEA1", "Feather", _TABLE),
    (0, b"ORC", "ORC", _TABLE),
    (0, b"Obj\x01", "Avro", _TABLE),
    (0, b"SQLite format 3\0", "an SQLite database", _TABLE),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file", _TABLE),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OFFICE, "save it as CSV"),
    (0, b"%PDF-", "PDF", _TABLE),
    (0, b"\x1f\x8b", "gzip within gzip", "unpack it once"),
    (0, b"\xfd7zXZ\0", "packed by xz", _PACKED),
    (0, b"BZh", "packed by bzip2", _PACKED),
    (0, b"\x28\xb5\x2f\xfd", "packed by Zstandard", _PACKED),
    (0, b"\x04\x22\x4d\x18", "packed by LZ4", _PACKED),
    (0, b"\xff\x06\0\0sNaPpY", "packed by Snappy", _PACKED),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _PACKED),
    (0, b"Rar!\x1a\x07", "a RAR archive", _PACKED),
    (257, b"ustar", "a tar archive", "unpack it: each file is read by itself"),
    (0, b"\xff\xd8\xff", "a JPEG image", _IMAGE),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image", _IMAGE),
    (0, b"GIF8", "a GIF image", _IMAGE),
    (0, b"II*\0", "a TIFF image", _IMAGE),
    (0, b"MM\0*", "a TIFF image", _IMAGE),
)  # fmt: skip

_BINARY = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")  # no text holds these; an escape may be in one
_PICKLE = re.compile(rb"\x80[\x02-\x05]")  # from protocol 2 on; the older ones are text
_LFS = b"version https://git-lfs.github.com/spec/"


def refuse(head: bytes, source: str) -> None:
    """Raises UserError that says what a file is, by its first `HEAD` bytes, and what to do about it; returns
    where they may be those of a text."""
    if head.startswith(_LFS):
        raise UserError(
            f"{source} is a pointer of Git LFS, not the file itself; fetch that by 'git lfs pull'"
        )
    if not _BINARY.search(head):
        return
    name, cure = _kind(head)
    if name:
        raise UserError(f"{source} is no text: it is {name}; {cure}")


def _kind(head: bytes) -> tuple[str, str]:
    """Name and cure; empty for what is not known."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if b"[Content_Types].xml" in head or b"xl/" in head:
            return _OFFICE, "save it as CSV"
        if b".npy" in head:
            return "NumPy arrays (npz)", "write each by numpy.savetxt, or convert it ('optml convert')"
        return "a ZIP archive", _PACKED
    if _PICKLE.match(head):
        return "a Python pickle", f"none is ever opened, for it may run any code: {_TABLE}"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "a WebP image", _IMAGE
    for offset, first, name, cure in _SIGNATURES:
        if head.startswith(first, offset):
            return name, cure
    return "", ""
