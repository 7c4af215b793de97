"""Bodies of S3 requests: written to a file as they come, decoded and checked on the way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from optml.local.control.s3.errors import error

_LENGTH = re.compile(rb"[0-9a-fA-F]{1,15}")
_MAX_LINE = 1 << 13  # bytes of a chunk's length and signature, or of a trailer
BLOCK = 1 << 20  # bytes written and hashed at a time, on a thread: both let go of the interpreter


@dataclass(frozen=True, slots=True)
class Body:
    size: int
    md5: str


async def receive(
    pieces: AsyncIterator[bytes], headers: Mapping[str, str], path: Path, pool: Executor
) -> Body:
    """Write a body to `path`. Raises ApiError, and leaves no file, for one that ends early or does not have
    the checksum that it was sent with."""
    chunked = "aws-chunked" in headers.get("content-encoding", "") or headers.get(
        "x-amz-content-sha256", ""
    ).startswith("STREAMING-")
    trailers: dict[str, str] = {}
    if chunked:
        pieces = unchunked(pieces, trailers)
    length = headers.get("x-amz-decoded-content-length" if chunked else "content-length")
    if length is not None and not length.isdecimal():
        raise error("InvalidArgument", f"a length of '{length[:100]}': expected a number of bytes")
    try:
        with path.open("wb") as file:
            body = await _written(pieces, file, headers, trailers, pool)
        if length is not None and int(length) != body.size:
            raise error("IncompleteBody")
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return body


async def _written(
    pieces: AsyncIterator[bytes],
    file: IO[bytes],
    headers: Mapping[str, str],
    trailers: Mapping[str, str],
    pool: Executor,
) -> Body:
    loop = asyncio.get_running_loop()
    digest = hashlib.md5(usedforsecurity=False)
    checks = "x-amz-checksum-crc32" in headers or "x-amz-checksum-crc32" in headers.get("x-amz-trailer", "")
    size = crc = 0

    def work(blocks: list[bytes], crc: int) -> int:
        for block in blocks:
            file.write(block)
            digest.update(block)
            if checks:
                crc = zlib.crc32(block, crc)
        return crc

    waiting: list[bytes] = []
    count = 0
    async for piece in pieces:
        waiting.append(piece)
        count += len(piece)
        if count >= BLOCK:
            crc = await loop.run_in_executor(pool, work, waiting, crc)
            size += count
            waiting, count = [], 0
    crc = work(waiting, crc)
    size += count
    told = headers.get("x-amz-checksum-crc32") or trailers.get("x-amz-checksum-crc32")
    if told and checks and told != base64.b64encode(crc.to_bytes(4, "big")).decode():
        raise error("BadDigest")
    md5 = headers.get("content-md5")
    if md5 and md5 != base64.b64encode(digest.digest()).decode():
        raise error("BadDigest")
    return Body(size, digest.hexdigest())


async def unchunked(pieces: AsyncIterator[bytes], trailers: dict[str, str]) -> AsyncIterator[bytes]:
    """The content of an `aws-chunked` body: `<hex length>[;chunk-signature=..]\\r\\n<bytes>\\r\\n`, a chunk
    of length 0, then trailers, which are put into the mapping. Raises ApiError for a body that is cut off."""
    buffer = bytearray()
    left = 0  # bytes of the chunk that are still to come
    state = "length"

    async for piece in pieces:
        if not buffer and state == "content" and len(piece) < left:
            left -= len(piece)
            yield piece
            continue
        buffer += piece
        while True:
            if state == "content":
                content = bytes(buffer[:left])
                del buffer[: len(content)]
                left -= len(content)
                if content:
                    yield content
                if left:
                    break
                state = "end"
            if state == "end":
                if len(buffer) < 2:
                    break
                if buffer[:2] != b"\r\n":
                    raise error("IncompleteBody", "a chunk is longer than its length")
                del buffer[:2]
                state = "length"
            end = buffer.find(b"\r\n")
            if max(end, len(buffer) if end < 0 else 0) > _MAX_LINE:
                raise error("IncompleteBody", f"a line between chunks has more than {_MAX_LINE} bytes")
            if end < 0:
                break
            line = bytes(buffer[:end])
            del buffer[: end + 2]
            if state == "trailers":
                if line:
                    name, _, value = line.decode("latin-1").partition(":")
                    trailers[name.strip().lower()] = value.strip()
                continue
            length = line.partition(b";")[0]
            if not _LENGTH.fullmatch(length):
                raise error("IncompleteBody", "a chunk has no length")
            left = int(length, 16)
            state = "content" if left else "trailers"
    if state != "trailers":
        raise error("IncompleteBody")
