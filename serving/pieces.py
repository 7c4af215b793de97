"""A request cut into its records, of which any can be put together again: for `OPTML_BAD_RECORD=null`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from optml.errors import UserError
from optml.formats.content_type import CSV, JSON, JSON_LINES, LIBSVM, RECORDIO_PROTOBUF, ContentType
from optml.formats.encoding import as_utf8, is_text
from optml.formats.json import loads
from optml.formats.recordio import MAGIC_BYTES, frame, payloads
from optml.serving import lines

_TEXTS = (CSV, JSON_LINES, LIBSVM)
_WRAPPERS = ("instances", "predictions", "projections")  # of the records of a JSON document
_SINGLE = ("features", "data", "target")  # keys of one record that is the document
_PLACE = re.compile(r"\b(?:row|line|record|instance) \d+(?: of the request)?(?!\w)|instances\[\d+\]", re.I)


@dataclass(frozen=True, slots=True)
class Pieces:
    """records: of the request, in order.   form: its content type, and that of `body(some of them)`.
    bare:    the request without a record, where it says more than its records do; None where it does not.
    """

    records: Sequence[Any]
    form: ContentType
    body: Callable[[Sequence[Any]], bytes]
    bare: bytes | None = None


def pieces(body: bytes, form: ContentType) -> Pieces:
    """Raises UserError where the outer form is broken, so that no records can be told apart (JSON that does
    not parse, a damaged frame), and for formats that are good or bad as a whole (Parquet, images)."""
    if is_text(form):
        body, form = as_utf8(body, form, "the request"), lines.in_utf8(form)
    if form.media == JSON:
        return _document(body, form)
    if form.media == RECORDIO_PROTOBUF:
        if body[:4] != MAGIC_BYTES:
            return Pieces([body], form, b"".join)
        frames = [frame(payload) for payload in payloads(BytesIO(body), source="the request")]
        return Pieces(frames, form, b"".join)
    if form.media not in _TEXTS:
        raise UserError(f"a request in {form.media} is good or bad as a whole")
    records = [line.rstrip(b"\r\n") + b"\n" for line in lines.records(BytesIO(body), form.media)]
    head = b"".join(records[:1]) if lines.has_header(form) else b""
    return Pieces(records[1 if head else 0 :], form, lambda some: head + b"".join(some))


def said_of_one(cause: str) -> str:
    """What is wrong with a record that stood alone, in one line: its place among others is not told."""
    return _PLACE.sub("the record", " ".join(cause.split()))


def _document(body: bytes, form: ContentType) -> Pieces:
    document = loads(body, "the request")
    if isinstance(document, list) and document and isinstance(document[0], list | dict):
        return Pieces(document, form, _dumped)
    if isinstance(document, list) or (isinstance(document, dict) and any(key in document for key in _SINGLE)):
        return Pieces([document], form, lambda some: _dumped(some[0]))
    for wrapper in _WRAPPERS:
        if isinstance(document, dict) and isinstance(document.get(wrapper), list):
            return Pieces(
                document[wrapper],
                form,
                lambda some: _dumped({**document, wrapper: some}),  # noqa: B023 - it returns at once
                _dumped({**document, wrapper: []}) if "configuration" in document else None,
            )
    raise UserError("the request holds no list of records")


def _dumped(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except RecursionError:
        raise UserError("the record is nested too deeply") from None
