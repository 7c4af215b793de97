"""LIBSVM (`text/libsvm`): `label[:weight] [qid:n] index:value index:value ... # comment`.

Indices count from 0, as XGBoost's container reads them; `index_base=1` in the content type says otherwise.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import compress
from typing import BinaryIO

import numpy as np
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats.blocks import BLOCK_BYTES, REQUEST_BYTES, count_lines, lines
from optml.formats.content_type import ContentType
from optml.formats.encoding import stream_as_utf8
from optml.formats.layout import Layout
from optml.formats.records import Origin, Records, concatenate, gathered
from optml.formats.vectors import MAX_WIDTH, compressed_rows, float32

_PIECE = 64 << 10  # bytes of which the items are in memory at once
_SPACE = np.zeros(256, bool)
_SPACE[np.frombuffer(b" \t\n\r\v\f", np.uint8)] = True


def read(
    stream: BinaryIO,
    content_type: ContentType,
    layout: Layout,
    *,
    source: str,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Records]:
    """Decode a training file or FIFO block by block; every line begins with a label.

    Without `layout.width` the largest index decides, so all is read first. Query ids become groups, -1 where
    other lines have one.
    Raises UserError naming the line.
    """
    yield from _read(stream, content_type, layout, source, block_bytes, request=False)


def blocks(
    body: bytes, content_type: ContentType, layout: Layout, *, source: str = "the request"
) -> Iterator[Records]:
    """Decode a request, in which the label may be missing: a first item with a colon is a feature. As `read`;
    raises UserError as well if it holds no row."""
    empty = True
    for records in _read(io.BytesIO(body), content_type, layout, source, REQUEST_BYTES, request=True):
        empty = False
        yield records
    if empty:
        raise UserError(f"{source} holds no rows")


def decode(body: bytes, content_type: ContentType, layout: Layout, *, source: str = "the request") -> Records:
    """All that `blocks` yields."""
    return gathered(blocks(body, content_type, layout, source=source))


def _read(
    stream: BinaryIO,
    content_type: ContentType,
    layout: Layout,
    source: str,
    block_bytes: int,
    *,
    request: bool,
) -> Iterator[Records]:
    base = _base(content_type)
    stream = stream_as_utf8(stream, content_type, source)
    number = 1
    blocks = []
    for text in lines(stream, block_bytes, source=source):
        rows = _plain(text, number, source, request=request)
        if rows is None:
            rows = _parse(text, number, source, request=request)
        number += count_lines(text)
        if not len(rows):
            continue
        block = _records(rows, base, layout, source)
        if layout.width is None:
            blocks.append(block)
        else:
            yield block
    if blocks:
        yield _joined(blocks)


def _base(content_type: ContentType) -> int:
    base = content_type.number("index_base", 0) or 0
    if base > 1:
        raise UserError(f"content type '{content_type}': index_base is {base}; expected 0 or 1")
    return base


@dataclass(frozen=True, slots=True)
class _Rows:
    """numbers: of the rows' lines.   counts: of the features of each.   keys, values: of all features.
    labels: NaN where a row has none.   weights, groups: None where no row has one."""

    numbers: np.ndarray
    counts: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.numbers)


def _plain(text: bytes, number: int, source: str, *, request: bool) -> _Rows | None:
    """Rows of a label and features, or in a request of features alone, by whole columns; None where something
    else is among them, or something wrong. A line may be long: its items are taken a piece at a time."""
    if b"#" in text:
        text = re.sub(rb"#[^\r\n]*", b"", text)
    if b"qid" in text:
        return None
    parts = []
    start, last = 0, 0  # the line of the last item
    while start < len(text):
        stop = start + _PIECE
        if stop < len(text):
            stop = max(text.rfind(blank, start, stop) for blank in (b" ", b"\n", b"\r", b"\t")) + 1
            stop += text[stop - 1 : stop + 1] == b"\r\n"
        if not stop or (part := _columns(text[start:stop])) is None:
            if request and len(text) > 2 * REQUEST_BYTES:  # a long line: perhaps this tells what is wrong
                _parse(text[start : stop or start + _PIECE], number, source, request=True)
            return None
        line, *columns = part
        if len(line):
            first = np.diff(line + number, prepend=last) != 0
            last = int(line[-1]) + number
            parts.append((line[first] + number, first, *columns))
        number += count_lines(text[start:stop] + b"0") - 1
        start = stop
    if not parts:
        return _Rows(*(np.empty(0, np.int64) for _ in range(5)))
    numbers, first, is_feature, keys, values, label_values = map(np.concatenate, zip(*parts, strict=True))
    del parts
    begins = np.flatnonzero(first)
    labelled = ~is_feature[begins]
    if not (first | is_feature).all() or not (request or labelled.all()):  # a label may have a weight there
        return None
    labels = np.full(len(begins), np.nan)
    labels[labelled] = label_values
    return _Rows(numbers, np.add.reduceat(is_feature, begins, dtype=np.int64), keys, values, labels)


def _columns(text: bytes) -> tuple[np.ndarray, ...] | None:
    """Of each item of a text: its line, from 0 on, and whether it is a feature; the keys and values of those;
    and the labels. None where there is anything else."""
    data = np.frombuffer(text, np.uint8)
    space = _SPACE[data]
    starts = np.flatnonzero(~space & np.concatenate([[True], space[:-1]]))
    ends = (data == 10) | ((data == 13) & np.concatenate([data[1:] != 10, [True]]))
    line = np.cumsum(ends, dtype=np.int32)[starts]
    colons = np.flatnonzero(data == ord(":"))
    count = np.bincount(np.searchsorted(starts, colons, side="right") - 1, minlength=len(starts))
    if len(colons) and (count.max() > 1 or np.isin(colons, starts, assume_unique=True).any()):
        return None
    if text.endswith(b":") or (len(colons) and space[colons + 1].any()):
        text = re.sub(rb":(?=\s|\Z)", b":nan", text)  # `8:` is a value that is missing
    items = text.replace(b":", b" ").split()
    is_key = np.zeros(len(items), bool)
    is_key[(np.cumsum(count + 1) - count - 1)[count == 1]] = True
    try:
        keys = np.array(list(map(int, compress(items, is_key.tolist()))), np.int64)
        values = np.array(list(map(float, compress(items, (~is_key).tolist()))), np.float64)
    except (ValueError, OverflowError):
        return None
    features = count == 1
    narrow = np.int32 if not len(keys) or (keys.min() >= 0 and keys.max() < 2**31 - 1) else np.int64
    return line, features, keys.astype(narrow), float32(values[features]), values[~features]


def _parse(text: bytes, number: int, source: str, *, request: bool) -> _Rows:
    """Any rows, a line at a time. Raises UserError for the first that is wrong."""
    counts = []  # of the features of each row
    numbers = []  # of the rows' lines
    keys_: list[bytes] = []
    values_: list[bytes] = []
    labels: list[float] = []
    weights: list[float] = []
    groups: list[int] = []
    for row, line in enumerate(text.splitlines(), number):
        content = line.split(b"#", 1)[0].split()
        if not content:
            continue
        label, weight, group, first = np.nan, 1.0, -1, 0
        if b":" not in content[0] or not request:
            head, colon, tail = content[0].partition(b":")
            label, first = _number(head, row, source), 1
            weight = _number(tail, row, source) if colon else 1.0
        if len(content) > first and content[first].startswith(b"qid:"):
            group, first = _query(content[first], row, source), first + 1
        for item in content[first:]:
            key, colon, value = item.partition(b":")
            keys_.append(key)
            values_.append(value or (colon and b"nan"))
        counts.append(len(content) - first)
        numbers.append(row)
        labels.append(label)
        weights.append(weight)
        groups.append(group)
    try:
        keys = np.array(list(map(int, keys_)), np.int64)
        values = np.array(list(map(float, values_)), np.float64)
    except (ValueError, OverflowError):
        indptr = np.concatenate([[0], np.cumsum(counts)])
        raise _wrong_item(keys_, values_, indptr, lambda at: f"line {numbers[at]} of {source}") from None
    return _Rows(
        np.array(numbers, np.int64),
        np.array(counts, np.int64),
        keys,
        values,
        np.array(labels),
        np.array(weights) if any(weight != 1 for weight in weights) else None,
        np.array(groups, np.int64) if any(group >= 0 for group in groups) else None,
    )


def _records(rows: _Rows, base: int, layout: Layout, source: str) -> Records:
    keys = rows.keys - base
    origin = Origin.of(source, rows.numbers, "line")
    width = layout.width
    if width is None:
        width = int(keys.max()) + 1 if len(keys) else 0
        if width > MAX_WIDTH:
            raise UserError(f"{source} has an index beyond {MAX_WIDTH}")
    indptr = np.concatenate([[0], np.cumsum(rows.counts)])
    labelled = not np.isnan(rows.labels).all()
    return Records(
        compressed_rows(float32(rows.values), keys, indptr, width, origin.name),
        labels=rows.labels[:, None] if labelled and layout.label_size != 0 else None,
        weights=None if rows.weights is None else float32(rows.weights),
        origins=((0, origin),),
        groups=rows.groups,
    )


def _query(item: bytes, row: int, source: str) -> int:
    digits = item.removeprefix(b"qid:")
    if not (digits.isdigit() and len(digits) < 19):
        raise UserError(
            f"line {row} of {source} holds '{_shown(item)}'; expected a whole number, as in qid:1"
        )
    return int(digits)


def _number(text: bytes, row: int, source: str) -> float:
    try:
        return float(text)
    except ValueError:
        hint = "; if it is CSV, set the content type to text/csv" if b"," in text else ""
        raise UserError(
            f"line {row} of {source} begins with '{_shown(text)}'; expected a number as its label, as in "
            f"'1 3:0.5'{hint}"
        ) from None


def _wrong_item(
    keys: list[bytes], values: list[bytes], indptr: np.ndarray, where: Callable[[int], str]
) -> UserError:
    for at, (key, value) in enumerate(zip(keys, values, strict=True)):
        try:
            if abs(int(key)) < 2**62:
                float(value)
                continue
        except ValueError:
            pass
        row = int(np.searchsorted(indptr, at, side="right")) - 1
        item = _shown(key + b":" + value if value else key)
        return UserError(f"{where(row)} holds '{item}'; expected index:value, the index a whole number")
    raise AssertionError("no item is wrong")


def _shown(text: bytes) -> str:
    return text[:40].decode(errors="replace")


def _joined(blocks: list[Records]) -> Records:
    """Blocks of one source, each as wide as its own largest index, with the width of the widest."""
    width = max(block.width for block in blocks)
    weighted = any(block.weights is not None for block in blocks)
    for block in blocks:
        block.features.resize((len(block), width))
    if weighted:
        ones = [
            np.ones(len(block), np.float32) if block.weights is None else block.weights for block in blocks
        ]
        weights = np.concatenate(ones)
    joined = concatenate(blocks)
    return replace(joined, weights=weights if weighted else None)


def write(records: Records) -> bytes:
    """One line per row, indices from 0; a row without a label gets 0."""
    rows = csr_array(records.features)
    labels = np.zeros(len(records)) if records.labels is None else records.labels[:, 0]
    out = []
    for row, label in enumerate(labels.tolist()):
        span = slice(rows.indptr[row], rows.indptr[row + 1])
        head = f"{label:.17g}" if records.weights is None else f"{label:.17g}:{records.weights[row]:.9g}"
        pairs = zip(rows.indices[span].tolist(), rows.data[span].tolist(), strict=True)
        out.append(" ".join([head, *(f"{key}:{value:.9g}" for key, value in pairs)]) + "\n")
    return "".join(out).encode()
