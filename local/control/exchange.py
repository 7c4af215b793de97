"""One exchange over a connection that others follow on: its answer may come before all of the request."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope, Send

_DRAIN = 8 << 20  # bytes of a body that are read and dropped, so that the connection can go on


class Exchange:
    """Stands between the application and the server. Where the answer begins before the request has ended,
    the rest of a body is read first; one that waits for `100 Continue`, or is long, is not wanted any more:
    the connection is closed behind the answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        headers = dict(scope["headers"])
        self._waits = b"expect" in headers
        self._ended = not (int(headers.get(b"content-length") or 0) or b"transfer-encoding" in headers)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            self._ended = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self._ended:
            left = 0 if self._waits else _DRAIN
            while left > 0 and not self._ended:
                left -= len((await self.receive()).get("body", b""))
            if not self._ended:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await self._send(message)
