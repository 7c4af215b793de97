"""Columns of an answer written as JSON, JSON lines, CSV or RecordIO-protobuf.

Numbers are written as AWS's containers write them: float32 widened to double, then the fewest digits that
give the double back (`0.27046188712120056`), with `.0` where they are whole; separators are ", " and ": ".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress, islice

import numpy as np
import orjson

from optml.algorithms.answers import Response
from optml.formats.content_type import CSV, JSON, RECORDIO_PROTOBUF
from optml.formats.records import Columns

_SHORT = 15  # significant digits of numbers in compact JSON lines
_MANY = 64  # numbers from which orjson, with its fixed cost, is the faster printer


def encode(
    columns: Columns,
    media: str,
    response: Response,
    *,
    uids: Sequence[str] | None = None,
    metadata: Sequence[str] | None = None,
    failed: Mapping[int, str] | None = None,
    final_newline: bool = True,
) -> bytes:
    """Write the answer of one request; columns are (n,) or (n, m), in the order of `response.fields` (of
    `response.csv_fields` in CSV, where there are such; of the alphabet in compact JSON lines).

    uids, metadata: of the request's records, copied to a RecordIO answer.
    failed:         place in the answer -> why that record has no prediction; `columns` holds the others.
    final_newline:  ends the last line of JSON lines and CSV, unless a batch transform job adds its own.
    """
    fields = response.csv_fields if media == CSV and response.csv_fields else response.fields
    if tuple(columns) != fields:
        columns = {name: columns[name] for name in sorted(columns, key=_rank(fields))}
    failed = failed or {}
    if media == RECORDIO_PROTOBUF:
        return _recordio(columns, uids, metadata, failed)
    if media == CSV:
        rows = _csv_rows(columns)
    else:
        compact = response.compact_lines and media != JSON
        rows = _compact_rows(columns) if compact else _json_rows(columns)
    if failed:
        good = iter(rows)
        places = range(len(rows) + len(failed))
        rows = [unanswered(failed[place], media) if place in failed else next(good) for place in places]
    if media == JSON:
        return f'{{"{response.wrapper}": [{", ".join(rows)}]}}'.encode()
    text = "\n".join(rows)
    return (text + "\n" if final_newline and rows else text).encode()


def unanswered(why: str, media: str) -> str:
    """What stands in the place of a record that has no prediction: `{"error": "..."}`, in CSV a cell."""
    return '"' + why.replace('"', '""') + '"' if media == CSV else f'{{"error": {_string(why)}}}'


def lines(body: bytes, size: int = 1 << 16) -> list[bytes]:
    """Cut lines into pieces of about `size` bytes, each of whole lines, to be sent one by one."""
    pieces = []
    start = 0
    while start < len(body):
        end = body.find(b"\n", start + size) + 1 or len(body)
        pieces.append(body[start:end])
        start = end
    return pieces


def _rank(fields: tuple[str, ...]):  # type: ignore[no-untyped-def]  # a sort key
    return lambda name: fields.index(name) if name in fields else len(fields)


def _json_rows(columns: Columns) -> list[str]:
    records = _records(columns, _string, lambda numbers: f"[{', '.join(numbers)}]")
    return list(map(_template(tuple(columns)).__mod__, records))


def _compact_rows(columns: Columns) -> list[str]:
    columns = dict(sorted(columns.items()))
    records = _records(columns, _string, lambda numbers: f"[{','.join(numbers)}]", _short_floats)
    return list(map(_template(tuple(columns), ",", ":").__mod__, records))


@lru_cache(maxsize=64)
def _template(names: tuple[str, ...], comma: str = ", ", colon: str = ": ") -> str:
    """The row of a JSON answer: `{"closest_cluster": %s, "distance_to_cluster": %s}`."""
    return "{" + comma.join(f"{_string(name)}{colon}".replace("%", "%%") + "%s" for name in names) + "}"


def _csv_rows(columns: Columns) -> list[str]:
    return list(map(",".join, _records(columns, _cell, ",".join)))


def _records(
    columns: Columns,
    text: Callable[[str], str],
    vector: Callable[[list[str]], str],
    floats: Callable[[np.ndarray], list[str]] | None = None,
) -> Iterator[tuple[str, ...]]:
    """The texts of each record's fields; `vector` makes one of a field that holds several numbers."""
    fields = []
    for column in columns.values():
        values = _texts(np.ma.getdata(column), text, floats or _floats)
        if column.ndim > 1:
            width = column[0].size if len(column) else 0
            rows = _cut(values, len(column), width)
            if np.ma.isMaskedArray(column):
                there = ~np.ma.getmaskarray(column)
                rows = [
                    list(compress(row, row_mask)) for row, row_mask in zip(rows, there.tolist(), strict=True)
                ]
            values = [vector(row) for row in rows]
        fields.append(values)
    return zip(*fields, strict=True)


def _cut(values: list[str], rows: int, width: int) -> list[list[str]]:
    each = iter(values)
    return [list(islice(each, width)) for _ in range(rows)]


def _texts(
    column: np.ndarray, string: Callable[[str], str], floats: Callable[[np.ndarray], list[str]]
) -> list[str]:
    """The text of each value, in C order."""
    flat = column.reshape(-1)
    kind = column.dtype.kind
    if kind == "f":
        return floats(flat)
    if kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if kind in "iu":
        return [str(value) for value in flat.tolist()]
    return [string(str(value)) for value in flat.tolist()]


def _floats(values: np.ndarray) -> list[str]:
    if len(values) < _MANY:
        return [_float(value) for value in values.tolist()]
    wide = np.ascontiguousarray(values, dtype=np.float64)
    texts = orjson.dumps(wide, option=orjson.OPT_SERIALIZE_NUMPY).decode()[1:-1].split(",")
    magnitude = np.abs(wide)
    # orjson has digits of its own for exponents, and `null` for what is not finite.
    plain = ((magnitude >= 1e-4) & (magnitude < 1e16)) | (magnitude == 0)
    for odd in np.flatnonzero(~plain).tolist():
        texts[odd] = _float(wide[odd].item())
    return texts


def _float(value: float) -> str:
    if value - value == 0:  # finite
        return repr(value)
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _short_floats(values: np.ndarray) -> list[str]:
    return [text if len(text) <= _SHORT else _cut_off(text) for text in _floats(values)]


def _cut_off(text: str) -> str:
    """The number without what follows its 15th significant digit: AWS's image cuts there and does not round
    (`0.5041388273239136` is `0.504138827323913`)."""
    mantissa, mark, exponent = text.partition("e")
    whole, point, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("-0")
    excess = min(len(digits) - _SHORT, len(fraction) - 1)
    if excess > 0:
        fraction = fraction[:-excess].rstrip("0") or "0"
    return whole + point + fraction + mark + exponent


def _string(value: str) -> str:
    return orjson.dumps(value.encode("utf-8", "replace").decode()).decode()


def _cell(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(mark in value for mark in ',"\r\n') else value


def _recordio(
    columns: Columns, uids: Sequence[str] | None, metadata: Sequence[str] | None, failed: Mapping[int, str]
) -> bytes:
    """One Record per record; one that failed holds NaN, and the reason as its metadata."""
    from optml.formats.record_protobuf import encode_columns

    if not failed:
        return encode_columns(columns, uids, metadata)
    rows = len(next(iter(columns.values()), np.empty(0))) + len(failed)
    good = [place for place in range(rows) if place not in failed]
    spread = {}
    for name, column in columns.items():
        spread[name] = np.full((rows, *column.shape[1:]), np.nan, dtype=np.float32)
        if np.ma.isMaskedArray(column):
            spread[name] = np.ma.array(spread[name])
        spread[name][good] = column
    names, notes = [""] * rows, [""] * rows
    for place, uid, note in zip(good, uids or [""] * rows, metadata or [""] * rows, strict=False):
        names[place], notes[place] = uid, note
    for place, why in failed.items():
        notes[place] = unanswered(why, JSON)
    return encode_columns(spread, names if uids else None, notes)
