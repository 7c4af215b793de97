"""S3's REST interface: which operation a request is."""

from __future__ import annotations

import logging
import uuid
from concurrent.futures import Executor

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from optml.local.control.errors import ApiError
from optml.local.control.s3.answers import failed
from optml.local.control.s3.call import Call, place
from optml.local.control.s3.errors import error
from optml.local.control.s3.multipart import Uploads
from optml.local.control.s3.objects import MAX_KEY
from optml.local.control.s3.operations.buckets import IGNORED, Buckets
from optml.local.control.s3.operations.objects import Objects
from optml.local.control.s3.operations.uploads import PartUploads
from optml.local.control.s3.operations.worker import Worker
from optml.local.control.s3.store import Store

log = logging.getLogger(__name__)


class Service:
    """Answers S3's requests. `pool` writes and reads files."""

    def __init__(self, store: Store, uploads: Uploads, pool: Executor, region: str) -> None:
        worker = Worker(pool)
        self._buckets = Buckets(store, worker, region)
        self._objects = Objects(store, worker)
        self._uploads = PartUploads(store, uploads, self._objects, worker)

    async def answer(self, request: Request) -> Response:
        try:
            call = Call(request, *place(request))
            if len(call.key.encode()) > MAX_KEY:
                raise error("KeyTooLongError")
            response = await self._routed(call)
        except ApiError as problem:
            response = failed(problem, request.method)
        except ClientDisconnect:
            raise
        except Exception as problem:
            log.exception("s3 %s %s", request.method, request.scope["path"])
            text = f"{type(problem).__name__}: {problem}"
            response = failed(error("InternalError", text), request.method)
        response.headers["x-amz-request-id"] = uuid.uuid4().hex[:16].upper()
        return response

    async def _routed(self, call: Call) -> Response:
        level = "key" if call.key else "bucket" if call.bucket else "service"
        for name in IGNORED:
            if name in call.query:
                return await self._buckets.ignored(call, name)
        buckets, objects, uploads = self._buckets, self._objects, self._uploads
        in_parts = "uploadId" in call.query
        handlers = {
            ("service", "GET"): buckets.names,
            ("bucket", "GET"): uploads.listing if "uploads" in call.query else buckets.listing,
            ("bucket", "HEAD"): buckets.head,
            ("bucket", "PUT"): buckets.create,
            ("bucket", "DELETE"): buckets.remove,
            ("bucket", "POST"): buckets.delete_objects,
            ("key", "GET"): uploads.parts if in_parts else objects.get,
            ("key", "HEAD"): objects.get,
            ("key", "PUT"): uploads.put_part if in_parts else objects.put,
            ("key", "DELETE"): uploads.abort if in_parts else objects.delete,
            ("key", "POST"): uploads.complete if in_parts else uploads.start,
        }
        handler = handlers.get((level, call.request.method))
        if handler is None:
            raise error("MethodNotAllowed")
        return await handler(call)
