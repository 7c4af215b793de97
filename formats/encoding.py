"""Text as UTF-8: whatever its content type or its byte order mark says that it is."""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO, cast

from optml.errors import UserError
from optml.formats import signatures
from optml.formats.blocks import read_exactly
from optml.formats.compression import Unread
from optml.formats.content_type import JSON, JSON_LINES, TEXT, ContentType

# Longest first: UTF-32's begins as UTF-16's does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def is_text(content_type: ContentType) -> bool:
    return content_type.media.startswith("text/") or content_type.media in (JSON, JSON_LINES)


# Python's, of domain names and source text: the first two take quadratic time.
_NOT_OF_FILES = ("punycode", "idna", "unicode-escape", "raw-unicode-escape")


def stream_as_utf8(stream: BinaryIO, content_type: ContentType, source: str) -> BinaryIO:
    """The stream without a byte order mark, in UTF-8; only `.read(n)` is asked of it.

    Raises UserError for an encoding that there is not, and for what is no text; reading raises it for text
    that is not in the encoding named.
    """
    head = read_exactly(stream, signatures.HEAD)
    encoding = _encoding(head, content_type, source)
    marked = encoding is None and head.startswith(codecs.BOM_UTF8)
    if stream.seekable():
        stream.seek(-len(head) + len(codecs.BOM_UTF8) * marked, io.SEEK_CUR)
    else:
        stream = cast(BinaryIO, Unread(head[len(codecs.BOM_UTF8) * marked :], stream))
    return stream if encoding is None else cast(BinaryIO, _Recoded(stream, encoding, source))


def as_utf8(text: bytes, content_type: ContentType, source: str) -> bytes:
    """The text without a byte order mark, in UTF-8. Raises UserError as `stream_as_utf8` and its streams."""
    encoding = _encoding(text[: signatures.HEAD], content_type, source)
    if encoding is None:
        return text.removeprefix(codecs.BOM_UTF8)
    try:
        return text.decode(encoding).encode()
    except UnicodeError as error:
        raise _undecodable(source, encoding, error) from None


def _encoding(head: bytes, content_type: ContentType, source: str) -> str | None:
    """What a text that begins so is encoded in; None: UTF-8."""
    named = _named(content_type)
    if named is not None:
        return named
    marked = next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)
    if marked is not None:
        return marked
    signatures.refuse(head, source)
    if b"\0" in head and content_type.media != TEXT:  # of sentences no byte is refused
        raise UserError(
            f"{source} is no UTF-8 text, for it holds zero bytes; if it is UTF-16, name that: "
            f"{content_type.media};encoding=utf-16-le (or utf-16-be)"
        )
    return None


class _Recoded:
    """A stream in another encoding, as UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str, source: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._source = source

    def read(self, size: int) -> bytes:
        while True:
            data = self._stream.read(size)
            try:
                text = self._decoder.decode(data, final=not data)
            except UnicodeError as error:
                raise _undecodable(self._source, self._encoding, error) from None
            if text or not data:
                return text.encode()


def _named(content_type: ContentType) -> str | None:
    """The text's encoding; None: UTF-8."""
    name = content_type.parameters.get("encoding") or content_type.parameters.get("charset") or "utf-8"
    try:
        "0".encode(name)  # refuses what is no encoding of text
        canonical = codecs.lookup(name).name
    except (LookupError, ValueError, UnicodeError):
        raise UserError(f"content type '{content_type}': there is no encoding '{name}'; try utf-8") from None
    if canonical in _NOT_OF_FILES:
        raise UserError(f"content type '{content_type}': no file is encoded in '{name}'; try utf-8")
    return None if canonical in ("utf-8", "ascii") else canonical


def _undecodable(source: str, encoding: str, error: UnicodeError) -> UserError:
    return UserError(f"{source} is no {encoding} text ({error}); name its encoding in the content type")
