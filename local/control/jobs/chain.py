"""A serial pipeline of servers behind one address, for batch transform."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from optml.errors import PlatformError
from optml.formats.content_type import CSV, TEXT
from optml.local.client import Client, Reply


@contextmanager
def chained(urls: Sequence[str]) -> Iterator[str]:
    """The address to send requests to: of the one server, or of one that passes them on from each to the
    next. The settings of a transform are those that the first one names."""
    if len(urls) == 1:
        yield urls[0]
        return
    clients = [Client(url, retries=0) for url in urls]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(clients[0].get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers.get("Content-Type", "")
            for client in clients:
                headers = {"Content-Type": kind}
                if client is clients[-1] and "Accept" in self.headers:
                    headers["Accept"] = self.headers["Accept"]
                answer = client.post(self.path, body, headers)
                if not answer.ok:
                    break
                body, kind = answer.body, answer.headers.get("content-type", CSV)
            self._send(answer)

        def _send(self, answer: Reply) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("content-type", TEXT))
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def handle(self) -> None:
            try:
                super().handle()
            except PlatformError:
                self.close_connection = True  # the caller sees a server that is gone, as it is

        def log_message(self, *unused: object) -> None:
            """Each server has a log of its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        for client in clients:
            client.__exit__()
