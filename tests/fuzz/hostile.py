"""Bodies that are cheap to send and meant to be dear to read: by content type, each of about `size` bytes."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator

import numpy as np

from optml.formats.content_type import PARQUET
from optml.formats.recordio import MAGIC_BYTES, frame

TABLES = (
    "text/csv",
    "text/libsvm",
    "application/json",
    "application/jsonlines",
    "application/x-recordio-protobuf",
)

CELLS = {
    "blank lines": b"\n",
    "blank lines of CR": b"\r",
    "blank lines of CRLF": b"\r\n",
    "blanks": b" ",
    "tabs": b"\t",
    "NULs": b"\0",
    "commas": b",",
    "lines of commas": b",\n",
    "quotes": b'"',
    "lines of quotes": b'""\n',
    "backslashes": b"\\",
    "ones": b"1\n",
    "ones between blank lines": b"1\n\n",
    "ones with a sign": b"+1\n",
    "ones in quotes": b'"1"\n',
    "pairs with a blank": b"1, \n",
    "quoted pairs": b'"+1","1"\n',
    "NaN": b"nan\n",
    "a long line of ones": b"1,",
    "a long line of numbers": b"999,",
    "a long line of NaN": b"nan,",
    "a long line of words": b"ab,",
    "a long line of quoted numbers": b'"9",',
    "a long line of quoted words": b'"ab",',
    "separators of information": b"\x1c",
    "line separators": "\u2028".encode(),
    "underscores": b"1_0\n",
    "digits": b"7",
    "columns of blanks": b"1  1\n",
}
ITEMS = {
    "labels": b"1\n",
    "labels after blank lines": b"\n1\n",
    "one feature": b"0:1\n",
    "missing values": b"0:\n",
    "a long line of features": b"1:1 ",
    "a long line of words": b"ab ",
    "comments": b"#\n",
    "comments after labels": b"1#\n",
    "queries": b"qid:1\n",
    "weights": b"1:2 1:1\n",
    "colons": b":",
    "blank lines": b"\n",
    "blanks": b" ",
    "huge integers": b"0:" + b"9" * 30 + b"\n",
    "huge keys": b"9" * 30 + b":1\n",
}
VALUES = {
    "empty lists": b"[]",
    "empty objects": b"{}",
    "lists of one": b"[1]",
    "lists of NaN": b"[NaN]",
    "lists with a comma too many": b"[1,]",
    "lists of text": b'["1"]',
    "lists of null": b"[null]",
    "objects": b'{"features":[1]}',
    "objects of another name": b'{"a":[1]}',
    "nested objects": b'{"data":{"features":{"values":[1]}}}',
    "sparse": b'{"features":{"keys":[0],"shape":[1],"values":[1]}}',
    "empty sparse": b'{"features":{"keys":[],"shape":[1],"values":[]}}',
    "huge integers": b"[" + b"9" * 30 + b"]",
    "numbers": b"1",
    "texts": b'"a"',
    "null": b"null",
    "lists in lists": b"[[[]]]",
}
RECORDS = {  # of algorithms that decode their own
    "pairs": b'{"features":["a","1.1.1.1"]}',
    "bare pairs": b'["a","1.1.1.1"]',
    "sentences": b'{"source":"a b"}',
    "empty series": b'{"start":"2020-01-01","target":[],"cat":[0]}',
    "series": b'{"start":"2020-01-01","target":[1,2,"NaN",null],"cat":[0]}',
}


def bodies(media: str, size: int) -> Iterator[tuple[str, bytes]]:
    """Pairs (name, body)."""
    if media == "text/csv":
        for name, part in CELLS.items():
            yield name, part * (size // len(part))
            yield f"a row, then {name}", b"1,2,3,4\n" + part * (size // len(part))
        yield "good rows, each tenth odd", (b"1,2,3,4\n" * 9 + b'+1, 2 ,"3",\n') * (size // 84)
    elif media == "text/libsvm":
        for name, part in ITEMS.items():
            yield name, part * (size // len(part))
    elif media == "application/jsonlines":
        for name, part in VALUES.items():
            yield name, (part + b"\n") * (size // (len(part) + 1))
            yield f"{name} between blank lines", (part + b"\n\n") * (size // (len(part) + 2))
        for name, part in RECORDS.items():
            yield name, (part + b"\n") * (size // (len(part) + 1))
        yield "one long line of empty lists", b"[" + b"[]," * (size // 3) + b"1]"
        yield "one long line of ones", b'{"features":[' + b"1," * (size // 2) + b"1]}"
        yield "deep lists", b"[" * size
        yield "blank lines", b"\n" * size
        yield "lines with a comma behind", b"[1],\n" * (size // 5)
    elif media == "application/json":
        for name, part in VALUES.items():
            items = b",".join([part] * (size // (len(part) + 1)))
            yield name, b"[" + items + b"]"
            yield f"instances: {name}", b'{"instances":[' + items + b"]}"
            yield f"features: {name}", b'{"instances":[{"features":[' + items + b"]}]}"
            yield f"another key: {name}", b'{"a":[' + items + b'],"instances":[[1]]}'
        yield "keys", b"{" + b",".join(b'"%d":1' % n for n in range(size // 10)) + b"}"
        yield "keys of a record", b"[{" + b",".join(b'"%d":1' % n for n in range(size // 10)) + b"}]"
        yield "deep lists", b"[" * size
        yield "deep lists, closed", b"[" * (size // 2) + b"]" * (size // 2)
        yield "deep objects", b'{"a":' * (size // 5)
        yield "quotes", b'"' * size
        yield "escapes", b'["' + b'\\"' * (size // 2) + b'"]'
        yield "backslashes", b"\\" * size
        yield "commas", b"[" + b"," * size + b"]"
        yield "commas before brackets", b"[" + b"[,]" * (size // 3) + b"]"
        yield "blanks", b" " * size
        yield "one text", b'["' + b"a" * size + b'"]'
        for name, part in RECORDS.items():
            items = b",".join([part] * (size // (len(part) + 1)))
            yield f"instances: {name}", b'{"instances":[' + items + b"]}"
    elif media == "application/x-recordio-protobuf":
        yield from _records(size)
    elif media == PARQUET:
        yield from _parquet(size)


def _parquet(size: int) -> Iterator[tuple[str, bytes]]:
    """Tables of which a column's numbers take about `size` bytes; the files are smaller by far."""
    import pyarrow as pa
    import pyarrow.parquet

    rows = size // 4
    columns = {
        "zeros": pa.array(np.zeros(rows, np.float32)),
        "nulls": pa.nulls(rows),
        "nulls of floats": pa.nulls(rows, pa.float32()),
        "small integers": pa.array(np.arange(rows) % 7),
        "flags": pa.array(np.arange(rows) % 2 == 0),
        "texts of numbers": pa.array(["1"]).take(pa.array(np.zeros(rows * 4 // 5, np.int32))),
        "texts of words": pa.array(["ab"]).take(pa.array(np.zeros(rows * 4 // 6, np.int32))),
        "decimals": pa.array(np.arange(rows) % 9).cast(pa.decimal128(30, 2)),
        "empty lists": pa.ListArray.from_arrays(np.zeros(rows + 1, np.int32), pa.array([], pa.float32())),
        "lists of one": pa.ListArray.from_arrays(np.arange(rows + 1), pa.array(np.zeros(rows, np.float32))),
    }
    for name, column in columns.items():
        out = io.BytesIO()
        pyarrow.parquet.write_table(pa.table({"a": column}), out, row_group_size=max(1, rows // 3))
        yield name, out.getvalue()
    out = io.BytesIO()
    wide = pa.table({f"c{number}": pa.array([0.0]) for number in range(min(5000, rows))})
    pyarrow.parquet.write_table(wide, out)
    yield "one row of many columns", out.getvalue()


def _records(size: int) -> Iterator[tuple[str, bytes]]:
    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(content)) + content

    def record(values: bytes, keys: bytes = b"", more: bytes = b"") -> bytes:
        tensor = field(1, values) + (field(2, keys) + field(3, b"\1") if keys else b"")
        return field(1, field(1, b"values") + field(2, field(2, tensor))) + more

    one = struct.pack("<f", 1)
    kinds: dict[str, Callable[[], bytes]] = {
        "dense": lambda: frame(record(one)),
        "sparse": lambda: frame(record(one, b"\0")),
        "with uid": lambda: frame(record(one, more=field(3, b"a"))),
        "with metadata": lambda: frame(record(one, more=field(4, b"{}"))),
        "with a configuration": lambda: frame(record(one, more=field(5, b"{}"))),
        "empty": lambda: frame(b""),
        "split": lambda: _split(record(one)),
        "whole and split": lambda: frame(record(one)) + _split(record(one)),
        "dense and with uid": lambda: frame(record(one)) + frame(record(one, more=field(3, b"a"))),
        "values twice": lambda: frame(2 * record(one)),
        "an empty feature": lambda: frame(record(one, more=field(1, b""))),
        "a label of bytes": lambda: frame(record(one, more=field(2, field(2, field(9, b""))))),
        "an odd label": lambda: frame(
            record(one, more=field(2, field(1, b"values") + field(2, field(9, b""))))
        ),
        "dense and odd": lambda: frame(record(one)) + frame(record(one, more=field(1, b""))),
        "odd and split": lambda: _split(record(one, more=field(1, b""))),
    }
    for name, make in kinds.items():
        yield name, make() * (size // len(make()))
    yield (
        "parts",
        struct.pack("<II", 0xCED7230A, 1 << 29) + struct.pack("<II", 0xCED7230A, 2 << 29) * (size // 8),
    )
    yield "magic numbers", MAGIC_BYTES * (size // 4)
    yield "a single record", field(1, field(1, b"values") + field(2, field(2, field(1, one * (size // 4)))))


def _split(payload: bytes) -> bytes:
    """A record in two parts; what it holds changes, for a magic number stood between them."""
    parts = (
        MAGIC_BYTES + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4)
        for flag, part in ((1, payload + b"\x22\x04"), (3, b""))  # the number is its metadata
    )
    return b"".join(parts)


def _varint(value: int) -> bytes:
    out = b""
    while value >= 128:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
