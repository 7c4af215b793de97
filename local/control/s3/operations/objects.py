"""Operations on objects: read, written, copied, deleted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TypeVar

from starlette.responses import Response, StreamingResponse

from optml.local.control.errors import ApiError
from optml.local.control.s3 import xml
from optml.local.control.s3.answers import document, object_headers
from optml.local.control.s3.bodies import receive
from optml.local.control.s3.call import Call, address
from optml.local.control.s3.conditions import span, unchanged, write_check
from optml.local.control.s3.content import joined
from optml.local.control.s3.errors import error
from optml.local.control.s3.objects import Bucket, Check, Object
from optml.local.control.s3.operations.worker import Worker
from optml.local.control.s3.store import Store

_T = TypeVar("_T")

# What a client may ask the headers of an answer to be, as `response-content-type=...`.
_WANTED = (
    "content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding",
)  # fmt: skip
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


class Objects:
    """Answers requests for one object."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self._store = store
        self._worker = worker

    async def get(self, call: Call) -> Response:
        found, file = await self._worker.run(self.opened, lambda: self._object(call.bucket, call.key))
        headers = object_headers(found)
        try:
            wanted = _wanted_headers(call)
            if unchanged(found, call.headers):
                file.close()
                return Response(status_code=304, headers={"ETag": headers["ETag"]})
            part = span(call.headers.get("range"), found.size)
        except ApiError:
            file.close()
            raise
        first, end = part or (0, found.size)
        headers["Content-Length"] = str(end - first)
        if part:
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{found.size}"
        headers |= wanted
        status = 206 if part else 200
        if call.request.method == "HEAD":
            file.close()
            return Response(status_code=status, headers=headers)
        return StreamingResponse(self._worker.pieces(file, first, end), status, headers)

    def opened(self, find: Callable[[], Object]) -> tuple[Object, FileIO]:
        """An object and its open file: from here on nothing that others do changes what is sent."""
        return _with_content(find, lambda path: path.open("rb", buffering=0))

    def _object(self, bucket: str, key: str) -> Object:
        """Raises ApiError NoSuchBucket, NoSuchKey."""
        found = self._store.bucket(bucket).get(key)
        if found is None:
            raise error("NoSuchKey", Key=key)
        return found

    async def put(self, call: Call) -> Response:
        bucket = await self._worker.run(self._store.bucket, call.bucket)
        check = write_check(call.headers)
        if check is not None:  # before the body is sent in vain; and again when it is there
            check(await self._worker.run(bucket.get, call.key))
        if "x-amz-copy-source" in call.headers:
            return await self._copied(call, bucket, check)
        content, path = self._store.contents.new()
        body = await receive(call.request.stream(), call.headers, path, self._worker.pool)
        await self._worker.run(bucket.put, call.key, content, body.size, body.md5, call.kept_headers, check)
        return Response(headers={"ETag": f'"{body.md5}"'})

    async def _copied(self, call: Call, bucket: Bucket, check: Check | None) -> Response:
        await call.discard()
        content, path = self._store.contents.new()
        # A copy, no link: either side may be a file of the user's, who may write to it.
        source, _ = await self._worker.run(
            _with_content, lambda: self.source(call), lambda content: joined([content], path)
        )
        headers = dict(source.headers)
        if call.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE":
            headers = call.kept_headers
        size = path.stat().st_size
        await self._worker.run(bucket.put, call.key, content, size, source.etag, headers, check)
        own = (("LastModified", xml.iso(time.time())), ("ETag", f'"{source.etag}"'))
        return document("CopyObjectResult", own)

    def source(self, call: Call) -> Object:
        """What a copy is made of. Raises ApiError, PreconditionFailed too."""
        found = self._object(*address(call.headers["x-amz-copy-source"]))
        renamed = {
            name.removeprefix("x-amz-copy-source-"): value
            for name, value in call.headers.items()
            if name.startswith("x-amz-copy-source-if")
        }
        if unchanged(found, renamed):
            raise error("PreconditionFailed")
        return found

    async def delete(self, call: Call) -> Response:
        bucket = await self._worker.run(self._store.bucket, call.bucket)
        await self._worker.run(bucket.delete, call.key)
        return Response(status_code=204)


def _with_content(find: Callable[[], Object], use: Callable[[Path], _T]) -> tuple[Object, _T]:
    """An object, and what is made of its content, which another may overwrite in between: then again."""
    for _ in range(10):
        found = find()
        try:
            return found, use(found.path)
        except FileNotFoundError:
            continue
    raise error("NoSuchKey", Key=found.key)


def _wanted_headers(call: Call) -> dict[str, str]:
    headers = {}
    for name in _WANTED:
        value = call.query.get(f"response-{name}")
        if value is not None and not _VALUE.fullmatch(value):
            raise error("InvalidArgument", f"response-{name}: expected characters that a header can hold")
        if value is not None:
            headers[name.title()] = value
    return headers
