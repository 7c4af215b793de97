"""A server for tests of those who call one: answers as a handler says, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Handler = Callable[[bytes], "bytes | tuple[int, bytes]"]


@dataclass
class Stub:
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(handler: Handler, parameters: bytes | None = None) -> Iterator[Stub]:
    """`handler` turns the body of POST /invocations into a body, or a status and a body;
    `parameters` is the answer of /execution-parameters (None: 404)."""
    stub = Stub()

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *args: object) -> None: ...

        def do_GET(self) -> None:
            if self.path == "/execution-parameters" and parameters is not None:
                self.answer(200, parameters)
            else:
                self.answer(200 if self.path == "/ping" else 404, b"")

        def do_POST(self) -> None:
            body = self.body()
            stub.bodies.append(body)
            stub.headers.append(dict(self.headers.items()))
            found = handler(body)
            self.answer(*(found if isinstance(found, tuple) else (200, found)))

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
