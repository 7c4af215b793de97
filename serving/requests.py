"""The body of a request: read within its limit, decompressed, refused in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gunicorn.http.errors import NoMoreData, ParseException

from optml.errors import UserError
from optml.formats.compression import MAGIC, TooLarge, decompress
from optml.serving.errors import RequestError, too_large, unreadable, unsupported_encoding


def read_body(environ: Mapping[str, Any], limit: int) -> bytes:
    """The body of a WSGI request, without gzip; of at most `limit` bytes, before and after decompression.

    Raises RequestError: 413 for a larger one, 415 for another Content-Encoding, 400 for one broken off.
    """
    body = _raw(environ, limit)
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise unsupported_encoding(encoding)
    if body[:2] != MAGIC:
        if body and "gzip" in encoding:
            raise unreadable("Content-Encoding says gzip, but the payload is no gzip data")
        return body
    try:
        return decompress(body, max_bytes=limit)
    except TooLarge:
        raise too_large(limit) from None
    except UserError as error:
        raise unreadable(str(error)) from None


def _raw(environ: Mapping[str, Any], limit: int) -> bytes:
    length = environ.get("CONTENT_LENGTH")
    try:
        if length:
            size = int(length)
            if size > limit:
                raise too_large(limit)
            body: bytes = environ["wsgi.input"].read(size)
            if len(body) < size:
                raise unreadable(f"the connection ended after {len(body)} of {size} bytes")
            return body
        if not environ.get("wsgi.input_terminated"):  # no length and no chunks: no body
            return b""
        body = environ["wsgi.input"].read(limit + 1)
    except (ParseException, NoMoreData, ValueError) as error:
        raise RequestError(400, "InvalidRequest", f"the request's body is broken: {error}") from None
    if len(body) > limit:
        raise too_large(limit)
    return body
