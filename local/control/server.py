"""The server: the application on a port of this machine, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import uvicorn

from optml.errors import PlatformError, UserError
from optml.local.control import environment
from optml.local.control.app import App
from optml.local.control.context import Options
from optml.local.control.home import Home
from optml.local.control.plane import Plane

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(home: Home, options: Options, ready: Callable[[str], None]) -> None:
    """Blocks. `ready` is told the address once it answers. Raises UserError, PlatformError."""
    if options.host not in _LOOPBACK and options.verify is None:
        raise UserError(
            f"--host {options.host} lets other machines run programs here: it needs --verify KEY:SECRET"
        )
    with listener(options) as port:
        options = replace(options, port=port.getsockname()[1])
        plane = Plane(home, options)
        environment.prepare(home, plane.url)
        with suppress(KeyboardInterrupt):  # told once more when all has ended
            _Server(configuration(plane), lambda: ready(plane.url)).run(sockets=[port])


def listener(options: Options) -> socket.socket:
    """The port, taken. Raises PlatformError."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # Named by its protocol: only then asyncio sends what is written at once, without Nagle's delays of 40 ms.
    port = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        port.bind((options.host, options.port))
    except OSError as error:
        port.close()
        raise PlatformError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; --port names another"
        ) from None
    return port


def configuration(plane: Plane) -> uvicorn.Config:
    return uvicorn.Config(
        App(plane),
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
        backlog=512,
    )


class _Server(uvicorn.Server):
    """Tells when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
