"""One request to S3, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote
from xml.etree.ElementTree import Element

from starlette.requests import Request

from optml.local.control.s3 import xml
from optml.local.control.s3.errors import error

# What is kept of a Put's headers and comes back with the object, beside x-amz-meta-*.
_KEPT = ("content-type", "content-disposition", "content-language", "cache-control", "expires")


class Call:
    """bucket, key: "" where the request names none."""

    def __init__(self, request: Request, bucket: str, key: str) -> None:
        self.request = request
        self.bucket = bucket
        self.key = key
        self.query = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
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
        try:
            value = int(self.query.get(name, default))
        except ValueError:
            value = -1
        if value < low:
            raise error("InvalidArgument", f"{name}={self.query[name]}: expected a number from {low} on")
        return value


def place(request: Request) -> tuple[str, str]:
    """(bucket, key) of a request, "" for what it does not name: `/BUCKET/KEY`, `/KEY` at BUCKET.localhost."""
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0].removeprefix("/")
    host = request.headers.get("host", "").partition(":")[0]
    if host.endswith(".localhost"):
        return host.removesuffix(".localhost"), _decoded(path)
    bucket, _, key = path.partition("/")
    return _decoded(bucket), _decoded(key)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise error("InvalidArgument", "the key is no UTF-8") from None
