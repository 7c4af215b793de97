"""Columns of an answer written as JSON, JSON lines, CSV or RecordIO-protobuf.

Numbers are written as AWS's containers write them: float32 widened to double, then the fewest digits that
give the double back (`0.27046188712120056`), with `.0` where they are whole; separators are ", " and ": ".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, compress, islice

import numpy as np
import orjson

from optml.algorithms.answers import Response, Written
from optml.deadline import check
from optml.formats.content_type import CSV, JSON, RECORDIO_PROTOBUF
from optml.formats.records import Columns
from optml.serving.errors import too_long

TOGETHER = 8192  # rows that are written at a time
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
    most: int | None = None,
) -> bytes:
    """Write the answer of one request; columns are (n,) or (n, m), in the order of `response.fields` (of
    `response.csv_fields` in CSV, where there are such; of the alphabet in compact JSON lines).

    uids, metadata: of the request's records, copied to a RecordIO answer.
    failed:         place in the answer -> why that record has no prediction; `columns` holds the others.
    final_newline:  ends the last line of JSON lines and CSV, unless a batch transform job adds its own.
    most:           bytes of the answer; RequestError (413) is raised for more.
    """
    fields = response.csv_fields if media == CSV and response.csv_fields else response.fields
    if tuple(columns) != fields:
        columns = {name: columns[name] for name in sorted(columns, key=_rank(fields))}
    failed = failed or {}
    if media == RECORDIO_PROTOBUF:
        return b"".join(_within(_recordio(columns, uids, metadata, failed), most))
    rows: Iterator[str] = chain.from_iterable(_rows(part, media, response) for part in parts(columns))
    if failed:
        rows = _with_failed(rows, _count(columns) + len(failed), failed, media)
    between = ", " if media == JSON else "\n"
    texts = (between.join(some).encode() for some in iter(lambda: list(islice(rows, TOGETHER)), []))
    pieces = list(_within(texts, most))
    if media == JSON:
        return b'{"%b": [%b]}' % (response.wrapper.encode(), b", ".join(pieces))
    if final_newline and pieces:
        pieces.append(b"")
    return b"\n".join(pieces)


def _within(texts: Iterable[bytes], most: int | None) -> Iterator[bytes]:
    """The pieces of an answer. Raises RequestError (413) once they are longer together than `most`."""
    size = 0
    for text in texts:
        size += len(text)
        if most is not None and size > most:
            raise too_long(most)
        yield text
        check()


def _count(columns: Columns) -> int:
    return len(next(iter(columns.values()), ()))


def parts(columns: Columns) -> Iterator[Columns]:
    """The columns, some rows at a time: their texts take twenty times the memory of the numbers."""
    for start in range(0, max(1, _count(columns)), TOGETHER):
        yield {name: column[start : start + TOGETHER] for name, column in columns.items()}


def _rows(columns: Columns, media: str, response: Response) -> list[str]:
    if media == CSV:
        return _csv_rows(columns)
    return _compact_rows(columns) if response.compact_lines and media != JSON else _json_rows(columns)


def _with_failed(rows: Iterator[str], count: int, failed: Mapping[int, str], media: str) -> Iterator[str]:
    for place in range(count):
        yield unanswered(failed[place], media) if place in failed else next(rows)


def joined(parts: Iterable[Written | None], most: int) -> Written | None:
    """An answer that an algorithm has written in parts; None where it has not. Raises RequestError (413) for
    one of more than `most` bytes."""
    rows: list[bytes] = []
    size = 0
    for part in parts:
        if part is None:
            return None
        size += sum(map(len, part.rows))
        if size > most:
            raise too_long(most)
        rows += part.rows
        whole = part
        check()
    return replace(whole, rows=rows)


def unanswered(why: str, media: str) -> str:
    """What stands in the place of a record that has no prediction: `{"error": "..."}`, in CSV a cell."""
    return '"' + why.replace('"', '""') + '"' if media == CSV else f'{{"error": {_string(why)}}}'


def unanswered_row(why: str, media: str) -> bytes:
    """The same as a row of an answer: in RecordIO-protobuf a Record whose metadata it is."""
    if media != RECORDIO_PROTOBUF:
        return unanswered(why, media).encode()
    from optml.formats.record_encoding import note

    return note(unanswered(why, JSON))


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
) -> Iterator[bytes]:
    """One Record per record; one that failed holds NaN, and the reason as its metadata."""
    from optml.formats.record_protobuf import encode_columns

    if failed:
        columns, uids, metadata = _spread(columns, uids, metadata, failed)
    for number, part in enumerate(parts(columns)):
        some = slice(number * TOGETHER, (number + 1) * TOGETHER)
        yield encode_columns(part, uids and uids[some], metadata and metadata[some])


def _spread(
    columns: Columns, uids: Sequence[str] | None, metadata: Sequence[str] | None, failed: Mapping[int, str]
) -> tuple[Columns, Sequence[str] | None, Sequence[str]]:
    """The same with places for the records that failed."""
    rows = _count(columns) + len(failed)
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
    return spread, names if uids else None, notes
