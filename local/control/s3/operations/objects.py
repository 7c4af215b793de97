"""Operations on objects: read, written, copied, deleted."""

from __future__ import annotations

import time
from io import FileIO
from urllib.parse import unquote

from starlette.responses import Response, StreamingResponse

from optml.local.control.errors import ApiError
from optml.local.control.s3 import xml
from optml.local.control.s3.answers import document, object_headers
from optml.local.control.s3.bodies import receive
from optml.local.control.s3.call import Call
from optml.local.control.s3.conditions import check_write, span, unchanged
from optml.local.control.s3.content import link_or_copy
from optml.local.control.s3.errors import error
from optml.local.control.s3.objects import Object
from optml.local.control.s3.operations.worker import Worker
from optml.local.control.s3.store import Store


class Objects:
    """Answers requests for one object."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self._store = store
        self._worker = worker

    async def get(self, call: Call) -> Response:
        found, file = await self._worker.run(self._opened, call)
        headers = object_headers(found)
        try:
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
        for name, value in call.query.items():
            if name.startswith("response-"):
                headers[name.removeprefix("response-").title()] = value
        status = 206 if part else 200
        if call.request.method == "HEAD":
            file.close()
            return Response(status_code=status, headers=headers)
        return StreamingResponse(self._worker.pieces(file, first, end), status, headers)

    def _opened(self, call: Call) -> tuple[Object, FileIO]:
        """The object and its open file: from here on nothing that others do changes what is sent."""
        for _ in range(10):
            found = self._store.bucket(call.bucket).get(call.key)
            if found is None:
                break
            try:
                return found, found.path.open("rb", buffering=0)
            except FileNotFoundError:  # overwritten in between
                continue
        raise error("NoSuchKey", Key=call.key)

    async def put(self, call: Call) -> Response:
        bucket = await self._worker.run(self._store.bucket, call.bucket)
        if any(condition in call.headers for condition in ("if-none-match", "if-match")):
            check_write(await self._worker.run(bucket.get, call.key), call.headers)
        if "x-amz-copy-source" in call.headers:
            return await self._copied(call)
        content, path = self._store.contents.new()
        body = await receive(call.request.stream(), call.headers, path, self._worker.pool)
        await self._worker.run(bucket.put, call.key, content, body.size, body.md5, call.kept_headers)
        return Response(headers={"ETag": f'"{body.md5}"'})

    async def _copied(self, call: Call) -> Response:
        await call.request.body()
        source = await self._worker.run(self.source, call)
        headers = dict(source.headers)
        if call.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE":
            headers = call.kept_headers
        content, path = self._store.contents.new()
        await self._worker.run(link_or_copy, source.path, path)
        bucket = await self._worker.run(self._store.bucket, call.bucket)
        await self._worker.run(bucket.put, call.key, content, source.size, source.etag, headers)
        own = (("LastModified", xml.iso(time.time())), ("ETag", f'"{source.etag}"'))
        return document("CopyObjectResult", own)

    def source(self, call: Call) -> Object:
        text = unquote(call.headers["x-amz-copy-source"].partition("?versionId=")[0]).removeprefix("/")
        bucket, _, key = text.partition("/")
        found = self._store.bucket(bucket).get(key)
        if found is None:
            raise error("NoSuchKey", Key=key)
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
