"""Operations on uploads in parts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from starlette.responses import Response

from optml.local.control.errors import ApiError
from optml.local.control.s3 import xml
from optml.local.control.s3.answers import document
from optml.local.control.s3.bodies import receive
from optml.local.control.s3.call import Call
from optml.local.control.s3.conditions import span, write_check
from optml.local.control.s3.errors import error
from optml.local.control.s3.multipart import Uploads
from optml.local.control.s3.operations.objects import Objects
from optml.local.control.s3.operations.worker import Worker
from optml.local.control.s3.store import Store


class PartUploads:
    """Answers requests about uploads. `objects`: where parts are copied from."""

    def __init__(self, store: Store, uploads: Uploads, objects: Objects, worker: Worker) -> None:
        self._store = store
        self._uploads = uploads
        self._objects = objects
        self._worker = worker

    async def start(self, call: Call) -> Response:
        if "uploads" not in call.query:
            raise error("NotImplemented")
        await call.discard()
        upload = await self._worker.run(self._uploads.start, call.bucket, call.key, call.kept_headers)
        names = (("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload))
        return document("InitiateMultipartUploadResult", names)

    async def put_part(self, call: Call) -> Response:
        upload, number = call.query["uploadId"], call.number("partNumber", 0, 1)
        await self._worker.run(self._uploads.check, upload, call.bucket, call.key)
        content, path = self._store.contents.new()
        copied = "x-amz-copy-source" in call.headers
        pieces: AsyncIterator[bytes] = call.request.stream()
        headers = call.headers
        if copied:
            await call.discard()
            source, file = await self._worker.run(self._objects.opened, lambda: self._objects.source(call))
            try:
                part = span(call.headers.get("x-amz-copy-source-range"), source.size)
            except ApiError:
                file.close()
                raise
            pieces, headers = self._worker.pieces(file, *(part or (0, source.size))), {}
        body = await receive(pieces, headers, path, self._worker.pool)
        try:
            await self._worker.run(self._uploads.put, upload, number, content, body.size, body.md5)
        except ApiError:
            path.unlink(missing_ok=True)
            raise
        etag = f'"{body.md5}"'
        if copied:
            return document("CopyPartResult", (("LastModified", xml.iso(time.time())), ("ETag", etag)))
        return Response(headers={"ETag": etag})

    async def complete(self, call: Call) -> Response:
        root = await call.xml()
        try:
            wanted = [
                (int(part.findtext("PartNumber") or ""), (part.findtext("ETag") or "").strip('"'))
                for part in root.findall("Part")
            ]
        except ValueError:
            raise error("MalformedXML") from None
        upload = call.query["uploadId"]
        etag = await self._worker.run(
            self._uploads.complete, upload, call.bucket, call.key, wanted, write_check(call.headers)
        )
        names = (
            ("Location", f"/{call.bucket}/{call.key}"),
            ("Bucket", call.bucket),
            ("Key", call.key),
            ("ETag", f'"{etag}"'),
        )
        return document("CompleteMultipartUploadResult", names)

    async def abort(self, call: Call) -> Response:
        await self._worker.run(self._uploads.abort, call.query["uploadId"], call.bucket, call.key)
        return Response(status_code=204)

    async def parts(self, call: Call) -> Response:
        upload = call.query["uploadId"]
        await self._worker.run(self._uploads.check, upload, call.bucket, call.key)
        most, after = min(call.number("max-parts", 1000), 1000), call.number("part-number-marker", 0)
        parts = [part for part in await self._worker.run(self._uploads.parts, upload) if part.number > after]
        own: list[tuple[str, object]] = [
            ("Bucket", call.bucket),
            ("Key", call.key),
            ("UploadId", upload),
            ("PartNumberMarker", after),
            ("NextPartNumberMarker", parts[:most][-1].number if parts[:most] else 0),
            ("MaxParts", most),
            ("IsTruncated", len(parts) > most),
        ]
        for part in parts[:most]:
            members = (
                ("PartNumber", part.number),
                ("LastModified", xml.iso(part.modified)),
                ("ETag", f'"{part.etag}"'),
                ("Size", part.size),
            )
            own.append(("Part", members))
        return document("ListPartsResult", own)

    async def listing(self, call: Call) -> Response:
        await self._worker.run(self._store.bucket, call.bucket)
        under_way = await self._worker.run(self._uploads.open, call.bucket, call.query.get("prefix", ""))
        own: list[tuple[str, object]] = [("Bucket", call.bucket), ("IsTruncated", False)]
        for key, upload, started in under_way:
            members = (("Key", key), ("UploadId", upload), ("Initiated", xml.iso(started)))
            own.append(("Upload", members))
        return document("ListMultipartUploadsResult", own)
