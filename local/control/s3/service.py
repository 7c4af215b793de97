"""S3's REST interface: which operation a request is, and its answer."""

from __future__ import annotations

import asyncio
import base64
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from io import FileIO
from typing import Any, TypeVar
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from optml.local.control.errors import ApiError
from optml.local.control.s3 import xml
from optml.local.control.s3.answers import document, failed, object_headers, summary
from optml.local.control.s3.bodies import receive
from optml.local.control.s3.call import Call, place
from optml.local.control.s3.conditions import check_write, span, unchanged
from optml.local.control.s3.content import link_or_copy
from optml.local.control.s3.errors import error
from optml.local.control.s3.listing import page
from optml.local.control.s3.multipart import Uploads
from optml.local.control.s3.objects import MAX_KEY, Object
from optml.local.control.s3.store import Store

_T = TypeVar("_T")
_READ = 1 << 18  # bytes of an object that are read at a time: some of each reader wait to be sent

# Sub-resources of a bucket or an object that are accepted and mean nothing here, and what GET answers.
_EMPTY = {
    "acl": ("AccessControlPolicy", ()),
    "versioning": ("VersioningConfiguration", ()),
    "tagging": ("Tagging", (("TagSet", ()),)),
    "accelerate": ("AccelerateConfiguration", ()),
    "logging": ("BucketLoggingStatus", ()),
    "notification": ("NotificationConfiguration", ()),
    "requestPayment": ("RequestPaymentConfiguration", (("Payer", "BucketOwner"),)),
}
_IGNORED = (*_EMPTY, "lifecycle", "policy", "cors", "encryption", "publicAccessBlock", "ownershipControls")
_OWNER = ("Owner", (("ID", "optml"), ("DisplayName", "optml")))


class Service:
    """Answers S3's requests. `pool` writes and reads files."""

    def __init__(self, store: Store, uploads: Uploads, pool: Executor, region: str) -> None:
        self._store = store
        self._uploads = uploads
        self._pool = pool
        self._region = region

    async def answer(self, request: Request) -> Response:
        try:
            call = Call(request, *place(request))
            if len(call.key.encode()) > MAX_KEY:
                raise error("KeyTooLongError")
            response = await self._routed(call)
        except ApiError as problem:
            response = failed(problem, request.method)
        response.headers["x-amz-request-id"] = uuid.uuid4().hex[:16].upper()
        return response

    async def _routed(self, call: Call) -> Response:
        level = "key" if call.key else "bucket" if call.bucket else "service"
        method = call.request.method
        for name in _IGNORED:
            if name in call.query:
                return await self._ignored(call, name)
        handlers = {
            ("service", "GET"): self._list_buckets,
            ("bucket", "GET"): self._list_objects,
            ("bucket", "HEAD"): self._head_bucket,
            ("bucket", "PUT"): self._create_bucket,
            ("bucket", "DELETE"): self._delete_bucket,
            ("bucket", "POST"): self._delete_objects,
            ("key", "GET"): self._list_parts if "uploadId" in call.query else self._get,
            ("key", "HEAD"): self._get,
            ("key", "PUT"): self._put_part if "uploadId" in call.query else self._put,
            ("key", "DELETE"): self._abort if "uploadId" in call.query else self._delete,
            ("key", "POST"): self._complete if "uploadId" in call.query else self._start,
        }
        handler = handlers.get((level, method))
        if handler is None:
            raise error("MethodNotAllowed")
        return await handler(call)

    # Buckets

    async def _ignored(self, call: Call, name: str) -> Response:
        await self._thread(self._store.bucket, call.bucket)
        if call.request.method in ("PUT", "DELETE", "POST"):
            await call.request.body()
            return Response(status_code=200 if call.request.method == "PUT" else 204)
        if name not in _EMPTY:
            raise ApiError(f"NoSuch{name[0].upper()}{name[1:]}Configuration", "There is none.", 404)
        return document(*_EMPTY[name])

    async def _list_buckets(self, call: Call) -> Response:
        names = await self._thread(self._store.buckets)
        buckets = [
            ("Bucket", (("Name", name), ("CreationDate", xml.iso(created))))
            for name, created in names
            if name.startswith(call.query.get("prefix", ""))
        ]
        return document("ListAllMyBucketsResult", (_OWNER, ("Buckets", buckets)))

    async def _head_bucket(self, call: Call) -> Response:
        await self._thread(self._store.bucket, call.bucket)
        return Response(headers={"x-amz-bucket-region": self._region})

    async def _create_bucket(self, call: Call) -> Response:
        await call.request.body()
        await self._thread(self._store.create, call.bucket)
        return Response(headers={"Location": f"/{call.bucket}"})

    async def _delete_bucket(self, call: Call) -> Response:
        await self._thread(self._store.remove, call.bucket)
        return Response(status_code=204)

    async def _list_objects(self, call: Call) -> Response:
        if "location" in call.query:
            await self._thread(self._store.bucket, call.bucket)
            region = "" if self._region == "us-east-1" else self._region
            return Response(xml.document("LocationConstraint", ()).replace(b"><", f">{region}<".encode()))
        if "uploads" in call.query:
            return await self._list_uploads(call)
        return await self._thread(self._listing, call)

    def _listing(self, call: Call) -> Response:
        second = call.query.get("list-type") == "2"
        url = call.query.get("encoding-type") == "url"
        prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
        most = min(call.number("max-keys", 1000), 1000)
        token = call.query.get("continuation-token")
        after = call.query.get("start-after" if second else "marker", "")
        if token is not None:
            try:
                after = base64.urlsafe_b64decode(token).decode()
            except ValueError:
                raise error("InvalidArgument", "The continuation token provided is incorrect") from None
        found = page(self._store.bucket(call.bucket), prefix, delimiter, after, most)
        own: list[tuple[str, object]] = [("Name", call.bucket), ("Prefix", xml.encoded(prefix, url))]
        if second:
            own += [("KeyCount", len(found.objects) + len(found.prefixes)), ("ContinuationToken", token)]
            if found.last is not None:
                own.append(("NextContinuationToken", base64.urlsafe_b64encode(found.last.encode()).decode()))
            own.append(("StartAfter", xml.encoded(call.query.get("start-after", ""), url) or None))
        else:
            own.append(("Marker", xml.encoded(after, url)))
            own.append(("NextMarker", xml.encoded(found.last, url) if found.last is not None else None))
        own += [
            ("MaxKeys", most),
            ("Delimiter", xml.encoded(delimiter, url) or None),
            ("IsTruncated", found.last is not None),
            ("EncodingType", "url" if url else None),
        ]
        own += [("Contents", summary(each, url)) for each in found.objects]
        own += [("CommonPrefixes", (("Prefix", xml.encoded(each, url)),)) for each in found.prefixes]
        return document("ListBucketResult", own)

    async def _delete_objects(self, call: Call) -> Response:
        if "delete" not in call.query:
            raise error("NotImplemented")
        root = await call.xml()
        keys = [each.findtext("Key") or "" for each in root.findall("Object")]
        bucket = await self._thread(self._store.bucket, call.bucket)
        quiet = root.findtext("Quiet") == "true"
        for key in keys:
            await self._thread(bucket.delete, key)
        return document("DeleteResult", () if quiet else [("Deleted", (("Key", key),)) for key in keys])

    # Objects

    async def _get(self, call: Call) -> Response:
        found, file = await self._thread(self._opened, call)
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
        return StreamingResponse(self._pieces(file, first, end), status, headers)

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

    async def _pieces(self, file: FileIO, first: int, end: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        number = file.fileno()
        try:
            while first < end:
                piece = await loop.run_in_executor(
                    self._pool, os.pread, number, min(_READ, end - first), first
                )
                if not piece:
                    raise OSError("a file of the store is shorter than it was")
                first += len(piece)
                yield piece
        finally:
            file.close()

    async def _put(self, call: Call) -> Response:
        bucket = await self._thread(self._store.bucket, call.bucket)
        if any(condition in call.headers for condition in ("if-none-match", "if-match")):
            check_write(await self._thread(bucket.get, call.key), call.headers)
        if "x-amz-copy-source" in call.headers:
            return await self._copied(call)
        content, path = self._store.contents.new()
        body = await receive(call.request.stream(), call.headers, path, self._pool)
        await self._thread(bucket.put, call.key, content, body.size, body.md5, call.kept_headers)
        return Response(headers={"ETag": f'"{body.md5}"'})

    async def _copied(self, call: Call) -> Response:
        await call.request.body()
        source = await self._thread(self._source, call)
        headers = dict(source.headers)
        if call.headers.get("x-amz-metadata-directive", "COPY").upper() == "REPLACE":
            headers = call.kept_headers
        content, path = self._store.contents.new()
        await self._thread(link_or_copy, source.path, path)
        bucket = await self._thread(self._store.bucket, call.bucket)
        await self._thread(bucket.put, call.key, content, source.size, source.etag, headers)
        own = (("LastModified", xml.iso(time.time())), ("ETag", f'"{source.etag}"'))
        return document("CopyObjectResult", own)

    def _source(self, call: Call) -> Object:
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

    async def _delete(self, call: Call) -> Response:
        bucket = await self._thread(self._store.bucket, call.bucket)
        await self._thread(bucket.delete, call.key)
        return Response(status_code=204)

    # Uploads in parts

    async def _start(self, call: Call) -> Response:
        if "uploads" not in call.query:
            raise error("NotImplemented")
        await call.request.body()
        upload = await self._thread(self._uploads.start, call.bucket, call.key, call.kept_headers)
        names = (("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload))
        return document("InitiateMultipartUploadResult", names)

    async def _put_part(self, call: Call) -> Response:
        upload, number = call.query["uploadId"], call.number("partNumber", 0, 1)
        await self._thread(self._uploads.check, upload, call.bucket, call.key)
        content, path = self._store.contents.new()
        copied = "x-amz-copy-source" in call.headers
        pieces = call.request.stream()
        headers = call.headers
        if copied:
            await call.request.body()
            source = await self._thread(self._source, call)
            first, end = span(call.headers.get("x-amz-copy-source-range"), source.size) or (0, source.size)
            pieces, headers = self._pieces(source.path.open("rb", buffering=0), first, end), {}  # type: ignore[assignment]
        body = await receive(pieces, headers, path, self._pool)
        try:
            await self._thread(self._uploads.put, upload, number, content, body.size, body.md5)
        except ApiError:
            path.unlink(missing_ok=True)
            raise
        etag = f'"{body.md5}"'
        if copied:
            return document("CopyPartResult", (("LastModified", xml.iso(time.time())), ("ETag", etag)))
        return Response(headers={"ETag": etag})

    async def _complete(self, call: Call) -> Response:
        root = await call.xml()
        try:
            wanted = [
                (int(part.findtext("PartNumber") or ""), (part.findtext("ETag") or "").strip('"'))
                for part in root.findall("Part")
            ]
        except ValueError:
            raise error("MalformedXML") from None
        upload = call.query["uploadId"]
        etag = await self._thread(self._uploads.complete, upload, call.bucket, call.key, wanted)
        names = (
            ("Location", f"/{call.bucket}/{call.key}"),
            ("Bucket", call.bucket),
            ("Key", call.key),
            ("ETag", f'"{etag}"'),
        )
        return document("CompleteMultipartUploadResult", names)

    async def _abort(self, call: Call) -> Response:
        await self._thread(self._uploads.abort, call.query["uploadId"], call.bucket, call.key)
        return Response(status_code=204)

    async def _list_parts(self, call: Call) -> Response:
        upload = call.query["uploadId"]
        await self._thread(self._uploads.check, upload, call.bucket, call.key)
        most, after = min(call.number("max-parts", 1000), 1000), call.number("part-number-marker", 0)
        parts = [part for part in await self._thread(self._uploads.parts, upload) if part.number > after]
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

    async def _list_uploads(self, call: Call) -> Response:
        await self._thread(self._store.bucket, call.bucket)
        under_way = await self._thread(self._uploads.open, call.bucket, call.query.get("prefix", ""))
        own: list[tuple[str, object]] = [("Bucket", call.bucket), ("IsTruncated", False)]
        for key, upload, started in under_way:
            members = (("Key", key), ("UploadId", upload), ("Initiated", xml.iso(started)))
            own.append(("Upload", members))
        return document("ListMultipartUploadsResult", own)

    async def _thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
