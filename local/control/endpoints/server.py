"""One server of a model, kept by a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from optml.errors import PlatformError
from optml.local.client import Client
from optml.local.ports import free_port

START_SECONDS = 240.0  # as the service grants
STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server serves. model: its folder; None: many models, told later. docker: the image; None: this
    Python. options: more of them for docker run."""

    model: Path | None
    docker: str | None
    environment: Mapping[str, str]
    options: Sequence[str] = field(default=())


class Server:
    """Started when made; its log goes to `log`."""

    def __init__(self, serving: Serving, log: Path) -> None:
        self.port = free_port()
        self.log = log
        spec = {
            "model": str(serving.model) if serving.model else None,
            "docker": serving.docker,
            "environment": dict(serving.environment),
            "options": list(serving.options),
            "port": self.port,
            "log": str(log),
        }
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "optml.local.control.endpoints.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._keeper.stdin is not None
        self._input = self._keeper.stdin
        self._input.write(json.dumps(spec).encode() + b"\n")
        self._input.flush()

    @property
    def alive(self) -> bool:
        return self._keeper.poll() is None

    def ready(self, cancelled: threading.Event, seconds: float = START_SECONDS) -> bool:
        """Wait for /ping to say 200; False: it has ended, was not in time, or `cancelled` is set."""
        deadline = time.monotonic() + seconds
        with Client(f"http://127.0.0.1:{self.port}", timeout=2.0, retries=0) as client:
            while self.alive and time.monotonic() < deadline and not cancelled.is_set():
                with suppress(PlatformError):  # not listening yet
                    if client.get("/ping").status == 200:
                        return True
                cancelled.wait(0.05)
        return False

    def stop(self) -> None:
        """Let requests in flight finish, and end it."""
        with suppress(OSError):
            self._input.close()
        try:
            self._keeper.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
