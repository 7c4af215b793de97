"""The control plane as an ASGI application: checks, routes and answers each request."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from optml.local.control import guard, model, protocols, support
from optml.local.control.errors import ApiError
from optml.local.control.exchange import Exchange
from optml.local.control.plane import Plane
from optml.local.control.routing import Route, invoked, route
from optml.local.control.s3.answers import failed as s3_failed
from optml.local.control.s3.service import Service as S3Service
from optml.local.control.services import autoscaling, cloudwatch, ecr, iam, logs, sagemaker, sts
from optml.local.control.services.runtime import Runtime, failed

log = logging.getLogger(__name__)

Operation = Callable[[Plane, dict[str, Any], str], dict[str, Any]]

OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "sagemaker": sagemaker.OPERATIONS,
    "logs": logs.OPERATIONS,
    "cloudwatch": cloudwatch.OPERATIONS,
    "application-autoscaling": autoscaling.OPERATIONS,
    "ecr": ecr.OPERATIONS,
    "sts": sts.OPERATIONS,
    "iam": iam.OPERATIONS,
}
MAX_REQUEST = 64 << 20  # bytes of a request that is no object and no invocation


class App:
    """ASGI; the plane starts and ends with the server."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self._s3 = S3Service(plane.s3, plane.uploads, plane.pool, "us-east-1")
        self._runtime = Runtime(plane)
        self._pages: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        if (
            scope["raw_path"].startswith(b"/endpoints/")
            and invoked(headers)
            and not self.plane.options.verify
        ):
            await self._runtime(scope, receive, send)  # the one path that must be short
            return
        exchange = Exchange(scope, receive, send)
        receive, send = exchange.receive, exchange.send
        request = Request(scope, receive)
        where = route(request)
        try:
            guard.check(scope["method"], headers, self.plane.options.host)
            if self.plane.options.verify is not None and where.protocol != "console":
                from optml.local.control.signatures import verify

                request = await verify(request, self.plane.options.verify)
                receive = request.receive
            if where.protocol == "console":
                await self._console(request)(scope, receive, send)
                return
            if where.protocol == "runtime":
                await self._runtime(scope, receive, send)
                return
            response = await self._answer(where, request)
        except ApiError as error:
            response = _refused(where, error)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _console(self, request: Request) -> ASGIApp:
        """Loaded when somebody looks. Browsers sign nothing: with --verify, only this machine may look."""
        here = request.client is not None and request.client.host in ("127.0.0.1", "::1")
        if self.plane.options.verify is not None and not here:
            raise ApiError("AccessDenied", "The console is for this machine alone.", 403)
        if self._pages is None:
            from optml.local.control.console.views import Console

            self._pages = Console(self.plane)
        return self._pages

    async def _answer(self, where: Route, request: Request) -> Response:
        if where.protocol == "s3":
            return await self._s3.answer(request)
        body = await _body(request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.plane.pool, self._operation, where, request, body)

    def _operation(self, where: Route, request: Request, body: bytes) -> Response:
        identity = str(uuid.uuid4())
        form: dict[str, str] = {}
        operation = where.operation
        try:
            if where.protocol == "query":
                form = protocols.parse_form(body)
                operation = form.get("Action", "")
            if where.service not in OPERATIONS:
                raise ApiError("UnknownOperationException", f"optml knows no service {where.service}.")
            described = model.operation(where.service, operation)
            if where.protocol == "json":
                values = protocols.read_json(body)
            elif where.protocol == "cbor":
                values = protocols.read_cbor(body)
            else:
                values = protocols.read_query(form, described.input_shape)
            handler = OPERATIONS[where.service].get(operation)
            if handler is None:
                raise support.refusal(self.plane, where.service, operation)
            model.validate(values, described.input_shape)
            answer = handler(self.plane, values, where.region)
            if described.output_shape is not None:
                answer = model.project(answer, described.output_shape)
            return _written(where, described, answer, identity)
        except ApiError as error:
            return _refused(where, error, identity)
        except Exception as error:
            log.exception("%s %s", where.service, operation)
            internal = ApiError("InternalFailure", f"{type(error).__name__}: {error}", 500)
            return _refused(where, internal, identity)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.plane.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await asyncio.to_thread(self.plane.close)
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_REQUEST:
            raise ApiError("RequestEntityTooLargeException", f"a request may have {MAX_REQUEST} bytes", 413)
    return bytes(body)


def _written(where: Route, described: Any, answer: dict[str, Any], identity: str) -> Response:
    if where.protocol == "cbor":
        body = protocols.write_cbor(answer, described.output_shape)
        headers = {"smithy-protocol": "rpc-v2-cbor", "x-amzn-RequestId": identity}
        return Response(body, media_type="application/cbor", headers=headers)
    if where.protocol == "query":
        body = protocols.write_query(described, answer, identity)
        return Response(body, media_type="text/xml", headers={"x-amzn-RequestId": identity})
    media = f"application/x-amz-json-{described.service_model.metadata.get('jsonVersion', '1.1')}"
    body = protocols.write_json(answer)
    return Response(body, headers={"content-type": media, "x-amzn-RequestId": identity})


def _refused(where: Route, error: ApiError, identity: str = "") -> Response:
    identity = identity or str(uuid.uuid4())
    headers = {"x-amzn-RequestId": identity}
    if where.protocol == "query":
        body = protocols.write_query_error(error, identity)
        return Response(body, error.status, headers, "text/xml")
    if where.protocol == "s3":
        return s3_failed(error)
    if where.protocol in ("runtime", "console"):
        return failed(error)
    described = {"__type": error.code, "message": error.message, **error.fields}
    if where.protocol == "cbor":
        headers["smithy-protocol"] = "rpc-v2-cbor"
        return Response(protocols.write_cbor(described, None), error.status, headers, "application/cbor")
    headers["content-type"] = "application/x-amz-json-1.1"
    return Response(protocols.write_json(described), error.status, headers)
