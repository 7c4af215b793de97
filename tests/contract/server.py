"""`serve` as a real process, on an /opt/ml tree of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from optml.local.ports import free_port
from tests.contract.tree import ROOT, STARTED, Ended, end

# `serve` with the algorithm of tests/serving/sample.py in the registry.
OBEDIENT = (
    "-c",
    "import sys; from optml.algorithms import registry; from optml.serving.server import main; "
    "registry.MODULES['obedient'] = 'tests.serving.sample'; sys.exit(main())",
)
SERVE = ("-m", "optml.container", "serve")


@dataclass
class Server:
    process: subprocess.Popen[str]
    port: int
    began: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=30)

    def invoke(self, body: object, **options: object) -> requests.Response:
        return requests.post(f"{self.url}/invocations", data=body, timeout=60, **options)  # type: ignore[arg-type]

    def ready(self, timeout: float = 100) -> None:
        """Wait for /ping."""
        while time.monotonic() - self.began < timeout:
            assert self.process.poll() is None, self.process.communicate()[0]
            try:
                if self.get("/ping").status_code == 200:
                    return
            except requests.ConnectionError:
                pass
            time.sleep(0.01)
        raise AssertionError(f"no ping after {timeout} s")

    def stop(self) -> Ended:
        self.process.send_signal(signal.SIGTERM)
        return end(self.process)

    def talk(self, sent: bytes, seconds: float = 60) -> bytes:
        """Send bytes as they are and take what comes back until the server closes or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(sent)
            connection.settimeout(seconds)
            answer = b""
            try:
                while part := connection.recv(65536):
                    answer += part
            except TimeoutError:
                pass
            return answer

    def connect(self, sent: bytes = b"", seconds: float = 60) -> socket.socket:
        """A connection on which so much has been sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        connection.sendall(sent)
        return connection


def start(root: Path, command: tuple[str, ...] = SERVE, **environment: str) -> Server:
    """Start `serve` on the tree; variables on top of a clean environment with a free port."""
    port = int(environment.get("SAGEMAKER_BIND_TO_PORT") or free_port())
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAGEMAKER", "OPTML"))}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=kept | {"SAGEMAKER_BASE_DIR": str(root), "SAGEMAKER_BIND_TO_PORT": str(port)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    STARTED.append(process)
    return Server(process, port, began)


@contextmanager
def serving(root: Path, command: tuple[str, ...] = SERVE, **environment: str) -> Iterator[Server]:
    """A server that is ready; stopped by SIGTERM at the end."""
    server = start(root, command, **environment)
    server.ready()
    yield server
    if server.process.poll() is None:
        assert server.stop().code == 0
