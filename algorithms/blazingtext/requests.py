"""Requests as AWS's image takes them, and its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from optml.algorithms.answers import Answer, Written
from optml.algorithms.blazingtext.classifier import Classifier, Texts
from optml.algorithms.blazingtext.vectors import Lookup
from optml.errors import UserError, shown
from optml.formats.content_type import JSON, ContentType
from optml.formats.documents import each_line, listed, parse, runs
from optml.formats.records import Columns

REFUSED = "Unable to decode payload: Incorrect data format."


def decode(body: bytes, form: ContentType, model: Any) -> Texts | Lookup:
    """Read `{"instances": ["...", ...], "configuration": {"k": 2}}`, or JSON lines of `{"source": "...",
    "k": 2}`. Raises UserError, naming the instance or the line."""
    lines, wanted = _document(body) if form.media == JSON else _lines(body)
    return Texts(lines, wanted) if isinstance(model, Classifier) else Lookup(lines)


def encode(columns: Columns, media: str, answer: Answer) -> Written:
    """A bare list of objects, or one a line."""
    names = list(columns)
    rows = zip(*(_values(column) for column in columns.values()), strict=True)
    texts = [
        b"{" + b", ".join(b'"%s": %s' % (n.encode(), v) for n, v in zip(names, row, strict=True)) + b"}"
        for row in rows
    ]
    if media == JSON:
        return Written(texts, b"[", b", ", b"]")
    return Written(texts, closing=b"" if answer.batch else b"\n")


def _values(column: np.ndarray) -> list[bytes]:
    if column.dtype == object:
        return [_written(value) for value in column.tolist()]
    return [_written(row) for row in np.asarray(column, np.float64).tolist()]


def _written(value: Any) -> bytes:
    """JSON, with a blank behind each comma of a list."""
    if isinstance(value, list):
        return b"[" + b", ".join(map(orjson.dumps, value)) + b"]"
    return orjson.dumps(value)


def sample(model: Any, media: str) -> bytes:
    """A request of one text."""
    return b'{"instances": ["a text"]}' if media == JSON else b'{"source": "a text"}'


def _document(body: bytes) -> tuple[list[bytes], list[int]]:
    document = _parsed(body, "the request")
    instances = listed(document, "instances")
    if instances is None:
        raise UserError(f'{REFUSED} The request must be an object with a list "instances" of strings')
    lines: list[bytes] = []
    for run in runs(instances):
        for number, text in enumerate(run, len(lines) + 1):
            if not isinstance(text, str):
                raise UserError(f"{REFUSED} Instance {number} is no string: {shown(text)}")
        lines += [text.encode("utf-8", "surrogatepass") for text in run]
    configuration = document.get("configuration", {})
    if not isinstance(configuration, dict):
        raise UserError(f'{REFUSED} "configuration" must be an object such as {{"k": 2}}')
    return lines, [_k(configuration.get("k", 1), '"configuration"')] * len(lines)


def _lines(body: bytes) -> tuple[list[bytes], list[int]]:
    lines, wanted = [], []
    for number, document in each_line(body, lambda line, number: _parsed(line, f"line {number}")):
        text = document.get("source") if isinstance(document, dict) else None
        if not isinstance(text, str):
            raise UserError(f'{REFUSED} Line {number} must be an object such as {{"source": "text", "k": 2}}')
        lines.append(text.encode("utf-8", "surrogatepass"))
        wanted.append(_k(document.get("k", 1), f"line {number}"))
    return lines, wanted


def _parsed(text: bytes, where: str) -> Any:
    try:
        return parse(text, where)
    except UserError as error:
        raise UserError(f"{REFUSED} {str(error)[0].upper()}{str(error)[1:]}") from None


def _k(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{REFUSED} k in {where} must be a whole number from 1 on, not {shown(value)}")
    return value
