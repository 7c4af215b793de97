"""One request to S3, taken apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_to_bytes
from xml.etree.ElementTree import Element

from starlette.requests import Request

from optml.local.control.s3 import xml
from optml.local.control.s3.errors import error

_NUMBER = re.compile(r"[0-9]{1,9}")

# What is kept of a Put's headers and comes back with the object, beside x-amz-meta-*.
_KEPT = ("content-type", "content-disposition", "content-language", "cache-control", "expires")


class Call:
    """bucket, key: "" where the request names none."""

    def __init__(self, request: Request, bucket: str, key: str) -> None:
        self.request = request
        self.bucket = bucket
        self.key = key
        self.query = _query(request.scope["query_string"])
        self.headers: Mapping[str, str] = request.headers

    @property
    def kept_headers(self) -> dict[str, str]:
        kept = {name: self.headers[name] for name in _KEPT if name in self.headers}
        kept |= {name: text for name, text in self.headers.items() if name.startswith("x-amz-meta-")}
        encodings = [part.strip() for part in self.headers.get("content-encoding", "").split(",")]
        if rest := ", ".join(part for part in encodings if part not in ("", "aws-chunked")):
            kept["content-encoding"] = rest
        return kept

    async def xml(self) -> Element:
        body = bytearray()
        async for piece in self.request.stream():
            body += piece
            if len(body) > xml.MAX_BODY:
                raise error("MalformedXML")
        return xml.parse(bytes(body))

    def number(self, name: str, default: int, low: int = 0) -> int:
        text = self.query.get(name, str(default))
        value = int(text) if _NUMBER.fullmatch(text) else -1
        if value < low:
            raise error("InvalidArgument", f"{name}={text[:100]}: expected a number from {low} on")
        return value

    async def discard(self) -> None:
        """Read a body that means nothing here, and keep none of it."""
        async for _ in self.request.stream():
            pass


def place(request: Request) -> tuple[str, str]:
    """(bucket, key) of a request, "" for what it does not name: `/BUCKET/KEY`, `/KEY` at BUCKET.localhost."""
    path = request.scope["raw_path"].partition(b"?")[0].removeprefix(b"/")
    host = request.headers.get("host", "").partition(":")[0]
    if host.endswith(".localhost"):
        return host.removesuffix(".localhost"), _decoded(path)
    bucket, _, key = path.partition(b"/")
    return _decoded(bucket), _decoded(key)


def address(text: str) -> tuple[str, str]:
    """(bucket, key) that `x-amz-copy-source` names."""
    bucket, _, key = text.partition("?versionId=")[0].removeprefix("/").partition("/")
    return _decoded(bucket), _decoded(key)


def _query(text: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise error("InvalidArgument", "a parameter of the query is no UTF-8") from None


def _decoded(text: bytes | str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise error("InvalidArgument", "the key is no UTF-8") from None
