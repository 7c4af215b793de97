"""JSON (`application/json`) and JSON lines (`application/jsonlines`): vectors in all forms AWS documents.

A record is an object with `features`, or with `data` that holds `features`; features are a list, or a tensor
`{"values": [...]}`, sparse with `"keys"` and `"shape"`. Beyond that: the bare list as a record, one record
without `instances`, lists of lists, and the answer of PCA and its like in an inference pipeline,
`{"projections": [{"projection": [...]}]}`. Python's NaN and Infinity are
read, and one comma too many at an end is forgiven.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import orjson

from algorithms.errors import UserError, shown
from algorithms.records import Origin, Records
from container.formats.blocks import BLOCK_BYTES, count_lines, lines
from container.formats.layout import Layout
from container.formats.vectors import Vector, float32, stack, vector

_TRAILING_COMMA = re.compile(rb",\s*([\]}])")


def decode(body: bytes, layout: Layout, *, source: str = "the request") -> Records:
    """Decode a request. Raises UserError for what is no JSON, and naming the record for what is no vector."""
    origin = Origin(source)
    return _records(instances(body, source=source), layout, origin.name, ((0, origin),), source)


def decode_lines(body: bytes, layout: Layout, *, source: str = "the request") -> Records:
    """Decode a request of one record per line; errors name the line."""
    records = _lines(body, 1, layout, source)
    if records is None:
        raise UserError(f"{source} holds no records")
    return records


def read_lines(
    stream: BinaryIO, layout: Layout, *, source: str, block_bytes: int = BLOCK_BYTES
) -> Iterator[Records]:
    """Decode a training file or FIFO of one record per line, block by block."""
    number = 1
    for text in lines(stream, block_bytes, source=source):
        records = _lines(text, number, layout, source)
        number += count_lines(text)
        if records is not None:
            layout = replace(layout, width=records.width)
            yield records


def instances(body: bytes, *, source: str = "the request") -> list[Any]:
    """The records of a JSON request as Python values, for algorithms whose records are no vectors too.

    Raises UserError if the body is no JSON or holds no list of records.
    """
    value = loads(body, source)
    if isinstance(value, dict):
        for wrapper in ("instances", "predictions", "projections"):
            if wrapper in value:
                found = value[wrapper]
                if not isinstance(found, list):
                    raise UserError(f'{source}: "{wrapper}" must be a list of records, not {_kind(found)}')
                return found
        if "features" in value or "data" in value:
            return [value]
        raise UserError(
            f'{source} has no "instances"; expected {{"instances": [{{"features": [1.5, 2.0]}}]}}'
        )
    if isinstance(value, list):
        return value if value and isinstance(value[0], list | dict) else [value] if value else []
    raise UserError(f'{source} is {_kind(value)}; expected {{"instances": [{{"features": [1.5, 2.0]}}]}}')


def loads(text: bytes, where: str) -> Any:
    """Parse JSON; NaN, Infinity and one trailing comma are tolerated. Raises UserError naming `where`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        first = error
    mended = text.removeprefix(b"\xef\xbb\xbf").rstrip().removesuffix(b",")
    for attempt in (mended, _without_last_comma(mended)):
        try:
            return json.loads(attempt.decode())
        except (ValueError, RecursionError):
            continue
    raise UserError(f"{where} is not valid JSON: {first}")


def _without_last_comma(text: bytes) -> bytes:
    """Drop the one comma that stands before a closing bracket, outside of strings."""
    commas = list(islice(_TRAILING_COMMA.finditer(text), 16))  # more than a few are no slip
    commas = [match for match in commas if not _in_string(text, match.start())]
    if len(commas) != 1:
        return text
    at = commas[0].start()
    return text[:at] + text[at + 1 :]


def _in_string(text: bytes, at: int) -> bool:
    return len(re.findall(rb'(?<!\\)(?:\\\\)*"', text[:at])) % 2 == 1


def _lines(text: bytes, number: int, layout: Layout, source: str) -> Records | None:
    records = []
    numbers = []
    for line in text.splitlines():
        if line and not line.isspace():
            records.append(loads(line, f"line {number} of {source}"))
            numbers.append(number)
        number += 1
    if not records:
        return None
    starts = [at for at, line in enumerate(numbers) if not at or line != numbers[at - 1] + 1]
    origins = tuple((at, Origin(source, numbers[at], "line")) for at in starts)
    return _records(records, layout, lambda at: f"line {numbers[at]} of {source}", origins, source)


def _records(
    items: list[Any],
    layout: Layout,
    where: Callable[[int], str],
    origins: tuple[tuple[int, Origin], ...],
    source: str,
) -> Records:
    if not items:
        if layout.width is None:
            raise UserError(f"{source} holds no records")
        return Records(np.empty((0, layout.width), np.float32), origins=origins)
    dense = _plain(items)
    if dense is not None and layout.width in (None, dense.shape[1]):
        return Records(dense, origins=origins)
    vectors = [_vector(item, where(at)) for at, item in enumerate(items)]
    return Records(stack(vectors, layout, where), origins=origins)


def _plain(items: list[Any]) -> np.ndarray | None:
    """(n, d) float32 where every record is {"features": [numbers]}, all of the same length; else None."""
    try:
        rows = np.array([item["features"] for item in items], np.float64)
    except (ValueError, TypeError, KeyError, OverflowError, IndexError):
        return None
    return float32(rows) if rows.ndim == 2 and rows.shape[1] else None


def _vector(item: Any, where: str) -> Vector:
    """One record in any of the forms."""
    found = item
    if isinstance(found, dict) and "features" not in found and "data" in found:
        found = found["data"]
    if isinstance(found, dict) and "features" in found:
        found = found["features"]
    elif isinstance(found, dict) and "values" not in found:
        fields = [value for value in found.values() if isinstance(value, list)]
        if len(fields) != 1:
            keys = ", ".join(f'"{key}"' for key in list(found)[:5]) or "nothing"
            raise UserError(f'{where} has no "features" (it has {keys}); expected {{"features": [1.5, 2.0]}}')
        found = fields[0]
    if isinstance(found, list):
        return Vector(_numbers(found, where))
    if not isinstance(found, dict) or "values" not in found:
        raise UserError(f'{where}: features are {_kind(found)}; expected a list or {{"values": [...]}}')
    keys_ = found.get("keys")
    shape = found.get("shape") or []
    return vector(
        _numbers(found["values"], where),
        _whole(keys_, f'{where}: "keys"') if keys_ is not None else None,
        _whole(shape, f'{where}: "shape"').tolist(),
        where,
    )


def _numbers(values: Any, where: str) -> np.ndarray:
    """(m,) float64 of a list of numbers, or of texts that hold numbers; null is NaN."""
    try:
        numbers = np.array(values, np.float64)
        if numbers.ndim == 1:
            return numbers
    except (ValueError, TypeError, OverflowError):
        pass
    if not isinstance(values, list):
        raise UserError(f"{where}: features are {_kind(values)}; expected a list of numbers")
    for at, value in enumerate(values):
        try:
            if not isinstance(value, list | dict):
                float(np.float64(value))
                continue
        except (ValueError, TypeError, OverflowError):
            pass
        raise UserError(f"{where} holds {shown(value)} as value {at + 1}; expected a number")
    raise UserError(f"{where} holds no list of numbers")


def _whole(values: Any, what: str) -> np.ndarray:
    """(m,) int64 of a list of whole numbers."""
    try:
        numbers = np.array(values if isinstance(values, list) else [values], np.float64)
    except (ValueError, TypeError, OverflowError):
        numbers = np.array([np.nan])
    if numbers.ndim != 1 or not np.all((numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**53)):
        raise UserError(f"{what} must be a list of whole numbers, not {shown(values)}")
    return numbers.astype(np.int64)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else shown(value)


def write(records: Records) -> bytes:
    """`{"instances": [...]}` as in requests; labels are left out, for requests have none."""
    return orjson.dumps({"instances": _objects(records)})


def write_lines(records: Records) -> bytes:
    """One record per line."""
    return b"".join([orjson.dumps(record) + b"\n" for record in _objects(records)])


def _objects(records: Records) -> list[dict[str, Any]]:
    if isinstance(records.features, np.ndarray):
        return [{"features": row} for row in records.features.tolist()]
    rows = records.features
    out = []
    for start, stop in zip(rows.indptr[:-1].tolist(), rows.indptr[1:].tolist(), strict=True):
        keys, values = rows.indices[start:stop].tolist(), rows.data[start:stop].tolist()
        tensor = {"keys": keys, "shape": [rows.shape[1]], "values": values}
        out.append({"data": {"features": tensor}})
    return out
