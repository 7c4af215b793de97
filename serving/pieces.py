"""A request cut into its records, of which any can be put together again: for `OPTML_BAD_RECORD=null`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Any, TypeVar

from optml.errors import UserError
from optml.formats import blocks
from optml.formats.content_type import CSV, JSON, JSON_LINES, LIBSVM, RECORDIO_PROTOBUF, ContentType
from optml.formats.documents import Long, parse, runs
from optml.formats.encoding import as_utf8, is_text
from optml.formats.recordio import MAGIC_BYTES, frame, payloads
from optml.serving import lines

TOGETHER = 512  # records of a group: what is not sound is read slowly, for its message
GROUP = 1 << 15  # bytes of a group of lines
_TEXTS = (CSV, JSON_LINES, LIBSVM)
_WRAPPERS = ("instances", "predictions", "projections")  # of the records of a JSON document
_SINGLE = ("features", "data", "target")  # keys of one record that is the document
_PLACE = re.compile(r"\b(?:row|line|record|instance) \d+(?: of the request)?(?!\w)|instances\[\d+\]", re.I)
# A quote that opens a cell and is not closed in its line; more than there are, where a cell ends in `,"`.
_OPEN = re.compile(rb'(?:^|[,;|\t\r\n]) *+"[^"\r\n]*+(?:""[^"\r\n]*+)*+[\r\n]')
_BLANKS = re.compile(rb"[\r\n][ \t\r\n]*[\r\n]")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pieces:
    """groups: the records of the request in order, some at a time.
    text:   some records as a piece of a body.
    body:   pieces as a request.   form: its content type.
    bare:   the request without a record, where it says more than its records do; None where it does not.
    """

    groups: Iterable[Sequence[Any]]
    form: ContentType
    text: Callable[[Sequence[Any]], bytes]
    body: Callable[[Sequence[bytes]], bytes]
    bare: bytes | None = None


def pieces(body: bytes, form: ContentType) -> Pieces:
    """Raises UserError, or `groups` does when it is passed, where the outer form is broken, so that no
    records can be told apart (JSON that does not parse, a damaged frame), and for formats that are good or
    bad as a whole (Parquet, images)."""
    if is_text(form):
        body, form = as_utf8(body, form, "the request"), lines.in_utf8(form)
    if form.media == JSON:
        return _document(body, form)
    if form.media == RECORDIO_PROTOBUF:
        if body[:4] != MAGIC_BYTES:
            return Pieces([[body]], form, b"".join, b"".join)
        frames = (frame(payload) for payload in payloads(BytesIO(body), source="the request"))
        return Pieces(_grouped(frames), form, b"".join, b"".join)
    if form.media not in _TEXTS:
        raise UserError(f"a request in {form.media} is good or bad as a whole")
    groups = _lines(body, form.media)
    head = b""
    if lines.has_header(form):
        first = next(groups, [])
        head, groups = b"".join(first[:1]), _behind(first[1:], groups)
    return Pieces(groups, form, b"".join, lambda some: head + b"".join(some))


def said_of_one(cause: str) -> str:
    """What is wrong with a record that stood alone, in one line: its place among others is not told."""
    return _PLACE.sub("the record", " ".join(cause.split()))


def _behind(first: list[bytes], rest: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    yield first
    yield from rest


def _grouped(records: Iterable[T]) -> Iterator[list[T]]:
    records = iter(records)
    while group := list(islice(records, TOGETHER)):
        yield group


def _lines(body: bytes, media: str) -> Iterator[list[bytes]]:
    """The records of a text, each with a line end."""
    if media == CSV and _OPEN.search(body):  # a record may be of several lines
        records = lines.records(BytesIO(body), media)
        yield from _grouped(record.rstrip(b"\r\n") + b"\n" for record in records)
        return
    for block in blocks.lines(BytesIO(body), GROUP, source="the request"):
        group = [line + b"\n" for line in _BLANKS.sub(b"\n", block).splitlines() if line.strip()]
        if media == LIBSVM and b"#" in block:
            group = [line for line in group if line.split(b"#", 1)[0].strip()]
        if group:
            yield group


def _document(body: bytes, form: ContentType) -> Pieces:
    document = parse(body, "the request")
    first = document.head(1) if isinstance(document, Long) else document[:1] if _is_list(document) else []
    if first and isinstance(first[0], list | dict):
        return Pieces(_items(document), form, _inside, lambda some: b"[" + b",".join(some) + b"]")
    if _is_list(document) or (isinstance(document, dict) and any(key in document for key in _SINGLE)):
        return Pieces([[body]], form, b"".join, b"".join)
    for wrapper in _WRAPPERS:
        if isinstance(document, dict) and _is_list(document.get(wrapper)):
            others = {key: value for key, value in document.items() if key != wrapper}
            head = _dumped(others)[:-1] + b", " * bool(others) + b'"%b": [' % wrapper.encode()
            return Pieces(
                _items(document[wrapper]),
                form,
                _inside,
                lambda some: head + b",".join(some) + b"]}",  # noqa: B023 - it returns at once
                head + b"]}" if "configuration" in document else None,
            )
    raise UserError("the request holds no list of records")


def _is_list(document: Any) -> bool:
    return isinstance(document, list | Long)


def _items(values: list[Any] | Long) -> Iterator[list[Any]]:
    for run in runs(values):
        yield from _grouped(run)


def _inside(some: Sequence[Any]) -> bytes:
    return _dumped(list(some))[1:-1]


def _dumped(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except TypeError:  # it holds a list that is too long to be parsed at once: as its text stands there
        pass
    except RecursionError:
        raise UserError("the record is nested too deeply") from None
    if isinstance(value, Long):
        return b"[" + value.text[value.start : value.stop] + b"]"
    if isinstance(value, dict):
        return b"{" + b",".join(_dumped(key) + b":" + _dumped(value[key]) for key in value) + b"}"
    return b"[" + b",".join(map(_dumped, value)) + b"]"
