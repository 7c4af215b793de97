"""LIBSVM (`text/libsvm`): `label[:weight] [qid:n] index:value index:value ... # comment`.

Indices count from 0, as XGBoost's container reads them; `index_base=1` in the content type says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from scipy.sparse import csr_array

from algorithms.errors import UserError
from algorithms.records import Origin, Records, concatenate
from container.formats.blocks import BLOCK_BYTES, count_lines, lines
from container.formats.content_type import ContentType
from container.formats.encoding import as_utf8, stream_as_utf8
from container.formats.layout import Layout
from container.formats.vectors import MAX_WIDTH, compressed_rows, float32


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
    base = _base(content_type)
    stream = stream_as_utf8(stream, content_type, source)
    number = 1
    blocks = []
    for text in lines(stream, block_bytes, source=source):
        block = _parse(text, number, base, layout, source, request=False)
        number += count_lines(text)
        if block is None:
            continue
        if layout.width is None:
            blocks.append(block)
        else:
            yield block
    if blocks:
        yield _joined(blocks)


def decode(body: bytes, content_type: ContentType, layout: Layout, *, source: str = "the request") -> Records:
    """Decode a request, in which the label may be missing: a first item with a colon is a feature."""
    body = as_utf8(body, content_type, source)
    records = _parse(body, 1, _base(content_type), layout, source, request=True)
    if records is None:
        raise UserError(f"{source} holds no rows")
    return records


def _base(content_type: ContentType) -> int:
    base = content_type.number("index_base", 0) or 0
    if base > 1:
        raise UserError(f"content type '{content_type}': index_base is {base}; expected 0 or 1")
    return base


def _parse(
    text: bytes, number: int, base: int, layout: Layout, source: str, *, request: bool
) -> Records | None:
    counts = []  # of the features of each row
    numbers = []  # of the rows' lines
    keys_: list[bytes] = []
    values_: list[bytes] = []
    labels: list[float] = []
    weights: list[float] = []
    groups: list[int] = []
    for line in text.splitlines():
        row, number = number, number + 1
        content = line.split(b"#", 1)[0].split()
        if not content:
            continue
        where = f"line {row} of {source}"
        label, weight, group, first = np.nan, 1.0, -1, 0
        if b":" not in content[0] or not request:
            head, colon, tail = content[0].partition(b":")
            label, first = _number(head, where), 1
            weight = _number(tail, where) if colon else 1.0
        if len(content) > first and content[first].startswith(b"qid:"):
            group, first = _query(content[first], where), first + 1
        for item in content[first:]:
            key, colon, value = item.partition(b":")
            keys_.append(key)
            values_.append(value or (colon and b"nan"))  # `8:` is a value that is missing
        counts.append(len(content) - first)
        numbers.append(row)
        labels.append(label)
        weights.append(weight)
        groups.append(group)
    if not counts:
        return None
    indptr = np.concatenate([[0], np.cumsum(counts)])

    def where_(row: int) -> str:
        return f"line {numbers[row]} of {source}"

    try:
        keys = np.array(list(map(int, keys_)), np.int64) - base
        values = float32(np.array(list(map(float, values_)), np.float64))
    except (ValueError, OverflowError):
        raise _wrong_item(keys_, values_, indptr, where_) from None
    width = layout.width
    if width is None:
        width = int(keys.max()) + 1 if len(keys) else 0
        if width > MAX_WIDTH:
            raise UserError(f"{source} has an index beyond {MAX_WIDTH}")
    starts = [at for at, row in enumerate(numbers) if not at or row != numbers[at - 1] + 1]
    given = not all(np.isnan(labels))
    return Records(
        compressed_rows(values, keys, indptr, width, where_),
        labels=np.array(labels)[:, None] if given and layout.label_size != 0 else None,
        weights=float32(np.array(weights)) if any(weight != 1 for weight in weights) else None,
        origins=tuple((at, Origin(source, numbers[at], "line")) for at in starts),
        groups=np.array(groups, np.int64) if any(group >= 0 for group in groups) else None,
    )


def _query(item: bytes, where: str) -> int:
    digits = item.removeprefix(b"qid:")
    if not (digits.isdigit() and len(digits) < 19):
        raise UserError(f"{where} holds '{_shown(item)}'; expected a whole number, as in qid:1")
    return int(digits)


def _number(text: bytes, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        hint = "; if it is CSV, set the content type to text/csv" if b"," in text else ""
        raise UserError(
            f"{where} begins with '{_shown(text)}'; expected a number as its label, as in '1 3:0.5'{hint}"
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
