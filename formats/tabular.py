"""Tables of numbers in any of the formats: read block by block for training, at once for requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from optml.errors import UserError
from optml.formats import content_type as known
from optml.formats.blocks import BLOCK_BYTES
from optml.formats.content_type import ContentType
from optml.formats.encoding import as_utf8, stream_as_utf8
from optml.formats.layout import Layout
from optml.formats.records import Records, gathered

__all__ = ["CONTENT_TYPES", "Layout", "blocks", "decode", "read", "write"]

CONTENT_TYPES = (
    known.CSV,
    known.LIBSVM,
    known.RECORDIO_PROTOBUF,
    known.JSON,
    known.JSON_LINES,
    known.PARQUET,
)


def read(
    stream: BinaryIO,
    content_type: ContentType,
    layout: Layout,
    *,
    source: str,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Records]:
    """Decode a training file or FIFO (only `.read(n)` is asked of it) into blocks of about `block_bytes`.

    Memory is bounded by a few blocks, but for JSON, for Parquet in a FIFO, and for LIBSVM without a width,
    which are read whole. Raises UserError naming source and record for whatever is wrong, a width other
    than `layout.width` included; NaN passes (`checks.check_finite`).
    """
    match content_type.media:
        case known.CSV:
            from optml.formats import csv

            yield from csv.read(stream, content_type, layout, source=source, block_bytes=block_bytes)
        case known.RECORDIO_PROTOBUF:
            from optml.formats import record_protobuf as records

            layout = layout.of(content_type)
            yield from records.read(stream, layout, source=source, block_bytes=block_bytes)
        case known.LIBSVM:
            from optml.formats import libsvm

            yield from libsvm.read(stream, content_type, layout, source=source, block_bytes=block_bytes)
        case known.JSON_LINES:
            from optml.formats import json

            stream = stream_as_utf8(stream, content_type, source)
            yield from json.read_lines(stream, layout, source=source, block_bytes=block_bytes)
        case known.JSON:
            from optml.formats import json

            body = as_utf8(stream.read(), content_type, source)
            if body.strip():
                yield json.decode(body, layout, source=source)
        case known.PARQUET:
            from optml.formats import parquet

            yield from parquet.read(stream, layout.of(content_type), source=source, block_bytes=block_bytes)
        case _:
            raise _unsupported(content_type)


def decode(body: bytes, content_type: ContentType, layout: Layout, *, source: str = "the request") -> Records:
    """All that `blocks` yields."""
    return gathered(blocks(body, content_type, layout, source=source))


def blocks(
    body: bytes,
    content_type: ContentType,
    layout: Layout,
    *,
    source: str = "the request",
    max_bytes: int | None = None,
) -> Iterator[Records]:
    """Decode a request, gzip already removed, some records at a time.

    Raises UserError as `read` does, and for a body without records; TooLarge for a format with a compression
    of its own that holds more than `max_bytes`.
    """
    if not body:
        raise UserError(f"{source} is empty")
    match content_type.media:
        case known.CSV:
            from optml.formats import csv

            yield from csv.blocks(body, content_type, layout, source=source)
        case known.RECORDIO_PROTOBUF:
            from optml.formats import record_protobuf as records

            yield from records.blocks(body, layout.of(content_type), source=source)
        case known.LIBSVM:
            from optml.formats import libsvm

            yield from libsvm.blocks(body, content_type, layout, source=source)
        case known.JSON_LINES:
            from optml.formats import json

            yield from json.request_lines(as_utf8(body, content_type, source), layout, source=source)
        case known.JSON:
            from optml.formats import json

            yield from json.blocks(as_utf8(body, content_type, source), layout, source=source)
        case known.PARQUET:
            from optml.formats import parquet

            yield from parquet.blocks(body, layout.of(content_type), source=source, max_bytes=max_bytes)
        case _:
            raise _unsupported(content_type)


def write(records: Records, content_type: ContentType) -> bytes:
    """Encode records so that `read` gives them back; labels come first in text and Parquet tables.

    Parts may be joined, but for JSON and Parquet. Raises UserError for a format that cannot be written.
    """
    match content_type.media:
        case known.CSV:
            from optml.formats import csv

            return csv.write(records)
        case known.RECORDIO_PROTOBUF:
            from optml.formats import record_protobuf as protobuf

            return protobuf.encode(records)
        case known.LIBSVM:
            from optml.formats import libsvm

            return libsvm.write(records)
        case known.JSON_LINES:
            from optml.formats import json

            return json.write_lines(records)
        case known.JSON:
            from optml.formats import json

            return json.write(records)
        case known.PARQUET:
            from optml.formats import parquet

            return parquet.write(records)
        case _:
            raise _unsupported(content_type)


def _unsupported(content_type: ContentType) -> UserError:
    return UserError(f"content type '{content_type}' is no table; supported are {', '.join(CONTENT_TYPES)}")
