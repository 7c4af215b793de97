"""A request cut into its single records, each a body of its own: for `OPTML_BAD_RECORD=null`."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from algorithms.errors import UserError
from container.formats.content_type import CSV, JSON, PARQUET, RECORDIO_PROTOBUF, ContentType
from container.formats.recordio import MAGIC_BYTES, frame, payloads


def pieces(body: bytes, form: ContentType) -> list[bytes]:
    """The records of a body in order. Raises UserError where its outer form is broken, so that nothing can be
    told apart: JSON that does not parse, a damaged frame, Parquet."""
    if form.media == JSON:
        return _instances(body)
    if form.media == RECORDIO_PROTOBUF:
        if body[:4] != MAGIC_BYTES:
            return [body]
        return [frame(payload) for payload in payloads(BytesIO(body), source="the request")]
    if form.media == PARQUET:
        raise UserError("a Parquet request is good or bad as a whole")
    lines = [line for line in body.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]
    if form.media == CSV and form.parameters.get("header", "").lower() == "present":
        header, *rows = lines or [b""]
        return [header + b"\n" + row for row in rows]
    return lines


def _instances(body: bytes) -> list[bytes]:
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UserError(f"the request is no JSON: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("instances"), list):
        return [json.dumps({**document, "instances": [one]}).encode() for one in document["instances"]]
    if isinstance(document, list) and document and isinstance(document[0], (list, dict)):
        return [json.dumps([one]).encode() for one in document]
    return [body]
