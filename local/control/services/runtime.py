"""sagemaker-runtime: invocations, answered at once, later, or as a stream of events."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from optml.formats.content_type import JSON
from optml.local.control import guard
from optml.local.control.endpoints.client import BrokenError
from optml.local.control.endpoints.requests import Invocation
from optml.local.control.errors import ApiError
from optml.local.control.exchange import Exchange

if TYPE_CHECKING:
    from optml.local.control.endpoints.invoker import ContainerReply
    from optml.local.control.plane import Plane

_OPERATIONS = ("invocations", "async-invocations", "invocations-response-stream")
_WHOLE = 8 << 20  # bytes of a body that are held, so that another instance can be asked; larger ones stream


class Runtime:
    """An ASGI application for `/endpoints/NAME/...`."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        try:
            guard.check(scope["method"], headers, self._plane.options.host)
            await self._answer(scope, headers, receive, send)
        except ApiError as error:
            await failed(error)(scope, receive, send)
        except ClientDisconnect:
            return

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        parts = unquote(scope["raw_path"].decode("latin-1")).split("/", 3)
        name, operation = parts[2], parts[3] if len(parts) > 3 else ""
        length = headers.get(b"content-length", b"")
        large = length.isdigit() and int(length) > _WHOLE
        if large or b"expect" in headers:  # answers may come before all of the request
            exchange = Exchange(scope, receive, send)
            receive, send = exchange.receive, exchange.send
        if scope["method"] != "POST" or operation not in _OPERATIONS:
            raise ApiError("UnknownOperationException", f"There is no operation at {scope['path']}.", 404)
        if operation == "async-invocations":
            answer = await self._plane.queue.accept(name, Request(scope, receive))
            await answer(scope, receive, send)
            return
        stream = operation == "invocations-response-stream"
        if stream and b"x-amzn-sagemaker-accept" in headers:
            headers[b"accept"] = headers[b"x-amzn-sagemaker-accept"]
        if large:
            call = Invocation(name, headers, _pieces(receive), int(length))
        else:
            body = b"".join([piece async for piece in _pieces(receive)])
            call = Invocation(name, headers, body, len(body))
        reply = await self._plane.invoker.invoke(call)
        try:
            if stream:
                await _send_events(reply, send)
            elif self._plane.capture.wants(reply.variant, name):
                await self._captured(call, reply, send)
            else:
                await _send(reply, send)
        finally:
            reply.done()

    async def _captured(self, call: Invocation, reply: ContainerReply, send: Send) -> None:
        body = b"".join([piece async for piece in reply.answer.body()])
        await send(_start(reply, str(len(body)).encode()))
        await send({"type": "http.response.body", "body": body})
        self._plane.capture.keep(call, reply, body)


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if piece := message.get("body"):
            yield piece
        if not message.get("more_body"):
            return


def _start(reply: ContainerReply, length: bytes | None) -> dict[str, object]:
    headers = [
        (b"content-type", reply.content_type),
        (b"x-amzn-invoked-production-variant", reply.variant.name.encode()),
    ]
    if length is not None:
        headers.append((b"content-length", length))
    if reply.custom is not None:
        headers.append((b"x-amzn-sagemaker-custom-attributes", reply.custom))
    return {"type": "http.response.start", "status": 200, "headers": headers}


async def _send(reply: ContainerReply, send: Send) -> None:
    await send(_start(reply, reply.length))
    if (whole := reply.answer.whole()) is not None:
        await send({"type": "http.response.body", "body": whole})
        return
    async for piece in reply.answer.body():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_events(reply: ContainerReply, send: Send) -> None:
    start = _start(reply, None)
    start["headers"] = [
        (b"content-type", b"application/vnd.amazon.eventstream"),
        (b"x-amzn-sagemaker-content-type", reply.content_type),
        *[pair for pair in start["headers"] if pair[0] != b"content-type"],  # type: ignore[attr-defined]
    ]
    await send(start)
    try:
        async for piece in reply.answer.body():
            event = {
                ":message-type": "event",
                ":event-type": "PayloadPart",
                ":content-type": "application/octet-stream",
            }
            await send({"type": "http.response.body", "body": message(event, piece), "more_body": True})
    except BrokenError as error:
        names = {":message-type": "exception", ":exception-type": "InternalStreamFailure"}
        body = message({**names, ":content-type": JSON}, json.dumps({"Message": str(error)}).encode())
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of an event stream: lengths and their CRC32, headers, payload, CRC32 of all before it."""
    packed = b"".join(
        struct.pack(">B", len(name))
        + name.encode()
        + struct.pack(">BH", 7, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def failed(error: ApiError) -> Response:
    """An error in the form of the REST protocol."""
    body = {"Message": error.message, "message": error.message, "ErrorCode": error.code, **error.fields}
    return JSONResponse(body, error.status, headers={"x-amzn-ErrorType": error.code})
