"""JSON (`application/json`) and JSON lines (`application/jsonlines`): vectors in all forms AWS documents.

A record is an object with `features`, or with `data` that holds `features`; features are a list, or a tensor
`{"values": [...]}`, sparse with `"keys"` and `"shape"`. Beyond that: the bare list as a record, one record
without `instances`, lists of lists, and the answer of PCA and its like in an inference pipeline,
`{"projections": [{"projection": [...]}]}`. Python's NaN and Infinity are
read, and one comma too many at an end is forgiven.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
import orjson
from scipy.sparse import csr_array

from optml.errors import UserError, shown
from optml.formats.blocks import BLOCK_BYTES, REQUEST_BYTES, count_lines, lines
from optml.formats.documents import Long, Values, loads, parse, parse_each, runs
from optml.formats.layout import Layout
from optml.formats.records import Origin, Records, gathered
from optml.formats.vectors import MAX_WIDTH, Vector, compressed_rows, float32, stack, vector

__all__ = ["blocks", "decode", "decode_lines", "instances", "loads", "read_lines", "request_lines", "write"]


def blocks(body: bytes, layout: Layout, *, source: str = "the request") -> Iterator[Records]:
    """Decode a request, some records at a time. Raises UserError for what is no JSON, and naming the record
    for what is no vector."""
    number = 1
    for items in runs(instances(body, source=source)):
        origin = Origin(source, number)
        records = _records(items, layout, origin.name, ((0, origin),), source)
        layout = replace(layout, width=records.width)
        number += len(records)
        yield records


def request_lines(body: bytes, layout: Layout, *, source: str = "the request") -> Iterator[Records]:
    """Decode a request of one record per line, some at a time; errors name the line."""
    empty = True
    for records in read_lines(io.BytesIO(body), layout, source=source, block_bytes=REQUEST_BYTES):
        empty = False
        yield records
    if empty:
        raise UserError(f"{source} holds no records")


def decode(body: bytes, layout: Layout, *, source: str = "the request") -> Records:
    """All that `blocks` yields."""
    return gathered(blocks(body, layout, source=source))


def decode_lines(body: bytes, layout: Layout, *, source: str = "the request") -> Records:
    """All that `request_lines` yields."""
    return gathered(request_lines(body, layout, source=source))


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


def instances(body: bytes, *, source: str = "the request") -> Values:
    """The records of a JSON request as Python values, for algorithms whose records are no vectors too.

    Raises UserError if the body is no JSON or holds no list of records.
    """
    value = parse(body, source)
    if isinstance(value, dict):
        for wrapper in ("instances", "predictions", "projections"):
            if wrapper in value:
                records = value[wrapper]
                if not isinstance(records, list | Long):
                    raise UserError(f'{source}: "{wrapper}" must be a list of records, not {_kind(records)}')
                return records
        if "features" in value or "data" in value:
            return [value]
        raise UserError(
            f'{source} has no "instances"; expected {{"instances": [{{"features": [1.5, 2.0]}}]}}'
        )
    if isinstance(value, list | Long):
        first = value[:1] if isinstance(value, list) else value.head(1)
        return value if first and isinstance(first[0], list | dict | Long) else [value] if first else []
    raise UserError(f'{source} is {_kind(value)}; expected {{"instances": [{{"features": [1.5, 2.0]}}]}}')


def _lines(text: bytes, number: int, layout: Layout, source: str) -> Records | None:
    texts = text.splitlines()
    numbers = [at for at, line in enumerate(texts, number) if line and not line.isspace()]
    if not numbers:
        return None
    origin = Origin.of(source, numbers, "line")
    if len(numbers) < len(texts):
        texts = [line for line in texts if line and not line.isspace()]
    return _records(parse_each(texts, origin.name), layout, origin.name, ((0, origin),), source)


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
    if dense is None and (sparse := _sparse(items, layout.width, where)) is not None:
        return Records(sparse, origins=origins)
    vectors = (_vector(item, where(at)) for at, item in enumerate(items))
    return Records(stack(vectors, layout, where), origins=origins)


def _plain(items: list[Any]) -> np.ndarray | None:
    """(n, d) float32 where every record is a dense list of numbers in one of the forms, all equally long;
    else None."""
    try:
        rows = np.array([item["features"] for item in items], np.float64)
    except (ValueError, TypeError, KeyError, OverflowError, IndexError):
        try:
            rows = np.array([_listed(item) for item in items], np.float64)
        except (ValueError, TypeError, OverflowError):
            return None
    return float32(rows) if rows.ndim == 2 and rows.shape[1] else None


def _sparse(items: list[Any], width: int | None, where: Callable[[int], str]) -> csr_array | None:
    """(n, width) where every record is a sparse tensor of that many columns; else None. Raises UserError for
    a key beyond them."""
    try:
        tensors = [_listed(item) for item in items]
        keys, values, shapes = ([tensor[name] for tensor in tensors] for name in ("keys", "values", "shape"))
        if {type(value) for column in (keys, values, shapes) for value in column} != {list}:
            return None
        counts = list(map(len, keys))
        widths = {shape[0] for shape in shapes}
        if counts != list(map(len, values)) or widths != {shapes[0][0] if width is None else width}:
            return None
        if {len(shape) for shape in shapes} != {1} or {type(value) for value in widths} != {int}:
            return None
        numbers = np.array(list(chain.from_iterable(values)), np.float64)
        places = np.array(list(chain.from_iterable(keys)), np.float64)
    except (ValueError, TypeError, KeyError, OverflowError, IndexError):
        return None
    (width,) = widths
    if not 0 <= width <= MAX_WIDTH or numbers.ndim != 1 or places.ndim != 1:
        return None
    if not np.all((places == np.floor(places)) & (np.abs(places) < 2.0**53)):
        return None
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return compressed_rows(float32(numbers), places.astype(np.int64), indptr, width, where)


def _listed(item: Any) -> Any:
    """The list of a record that holds one, or its sparse tensor."""
    while isinstance(item, dict):
        if "features" in item:
            item = item["features"]
        elif "data" in item:
            item = item["data"]
        elif "values" in item:
            return item["values"] if len(item) == 1 else item
        elif len(item) == 1:
            (item,) = item.values()
        else:
            return None
    return item


def _vector(item: Any, where: str) -> Vector:
    """One record in any of the forms."""
    features = item
    if isinstance(features, dict) and "features" not in features and "data" in features:
        features = features["data"]
    if isinstance(features, dict) and "features" in features:
        features = features["features"]
    elif isinstance(features, dict) and "values" not in features:
        fields = [value for value in features.values() if isinstance(value, list | Long)]
        if len(fields) != 1:
            keys = ", ".join(f'"{key}"' for key in list(features)[:5]) or "nothing"
            raise UserError(f'{where} has no "features" (it has {keys}); expected {{"features": [1.5, 2.0]}}')
        features = fields[0]
    if isinstance(features, list | Long):
        return Vector(_numbers(features, where))
    if not isinstance(features, dict) or "values" not in features:
        raise UserError(f'{where}: features are {_kind(features)}; expected a list or {{"values": [...]}}')
    keys_ = features.get("keys")
    shape = features.get("shape") or []
    return vector(
        _numbers(features["values"], where),
        _whole(keys_, f'{where}: "keys"') if keys_ is not None else None,
        _whole(shape, f'{where}: "shape"').tolist(),
        where,
    )


def _numbers(values: Any, where: str) -> np.ndarray:
    """(m,) float64 of a list of numbers or of texts that hold some, float32 of a long one; null is NaN."""
    if isinstance(values, Long):
        parts = [float32(_numbers(run, where)) for run in values.runs()]
        return np.concatenate([np.empty(0, np.float32), *parts])
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
    if isinstance(values, Long):
        return np.concatenate([np.empty(0, np.int64), *(_whole(run, what) for run in values.runs())])
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
    return "a list" if isinstance(value, list | Long) else shown(value)


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
