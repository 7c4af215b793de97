"""Text in the encoding that its content type names, as UTF-8."""

from __future__ import annotations

import codecs
from typing import BinaryIO, cast

from algorithms.errors import UserError
from container.formats.content_type import ContentType


def stream_as_utf8(stream: BinaryIO, content_type: ContentType, source: str) -> BinaryIO:
    """The stream itself, where it is UTF-8. Raises UserError for an encoding that there is not; reading
    raises it for text that is not in the one named."""
    encoding = _named(content_type)
    return stream if encoding is None else cast(BinaryIO, _Recoded(stream, encoding, source))


def as_utf8(text: bytes, content_type: ContentType, source: str) -> bytes:
    """The text. Raises UserError as `stream_as_utf8` and its streams do."""
    encoding = _named(content_type)
    if encoding is None:
        return text
    try:
        return text.decode(encoding).encode()
    except UnicodeError as error:
        raise _undecodable(source, encoding, error) from None


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
    return None if canonical in ("utf-8", "ascii") else canonical


def _undecodable(source: str, encoding: str, error: UnicodeError) -> UserError:
    return UserError(f"{source} is no {encoding} text ({error}); name its encoding in the content type")
