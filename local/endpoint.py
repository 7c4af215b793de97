"""A real server of a model folder, run as a child process (or as a container) on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO

from optml.errors import PlatformError, UserError
from optml.local.client import Client
from optml.local.ports import free_port

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0  # what SageMaker grants between SIGTERM and SIGKILL


class Endpoint:
    """`with Endpoint(folder) as endpoint:` serves the model in `folder` at `endpoint.url` until the end.

    model:       a model folder, or a model.tar.gz; None: a server of many models is told of them later.
    docker:      the image that serves it; None: this Python.
    environment: variables for the server, on top of ours.
    port:        0 takes any free one. log: where the server's output goes; None keeps its last lines.
    """

    def __init__(
        self,
        model: Path | None,
        *,
        docker: str | None = None,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        log: IO[bytes] | None = None,
        docker_options: Sequence[str] = (),
    ) -> None:
        if model is not None and not model.exists():
            raise UserError(f"there is no model folder '{model}'")
        if model is not None and model.is_dir() and not any(model.iterdir()):
            raise UserError(f"model folder '{model}' is empty")
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._tail: deque[bytes] = deque(maxlen=40)
        self._log = log
        self._root = Path(tempfile.mkdtemp(prefix="optml-serve-"))
        own = {**(environment or {})}
        if docker:
            command = _docker_command(docker, model, self.port, own, docker_options)
            own = {}
        else:
            command = [sys.executable, "-m", "optml.container", "serve"]
            if model is not None:
                _link_model(model, self._root / "model")
            own |= {"SAGEMAKER_BASE_DIR": str(self._root), "SAGEMAKER_BIND_TO_PORT": str(self.port)}
        try:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **own},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it through `stop`, once
            )
        except FileNotFoundError:
            shutil.rmtree(self._root, ignore_errors=True)
            raise PlatformError(f"there is no program '{command[0]}' on this machine") from None
        self._reader = Thread(target=self._drain, daemon=True)
        self._reader.start()

    def __enter__(self) -> Endpoint:
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self) -> None:
        """Return once /ping answers 200. Raises UserError with the server's last lines if it gives up."""
        deadline = time.monotonic() + _START_SECONDS
        with Client(self.url, timeout=2.0, retries=0) as client:
            while self._process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(PlatformError):  # not listening yet
                    if client.get("/ping").status == 200:
                        return
                time.sleep(0.05)
        code = self._process.poll()
        state = (
            f"was not ready after {_START_SECONDS:g} s" if code is None else f"ended with exit code {code}"
        )
        if self._log is not None:
            raise UserError(f"the server {state}; its log, above, says why")
        raise UserError(f"the server {state}; its last lines:\n{self.last_lines()}")

    def wait(self) -> int:
        """Block until the server ends by itself; its exit code."""
        return self._process.wait()

    def terminate(self) -> None:
        """Send SIGTERM; safe in a signal handler."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """SIGTERM, requests in flight finish, SIGKILL after 30 s; the exit code."""
        self.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5.0)
        shutil.rmtree(self._root, ignore_errors=True)
        return self._process.returncode

    def last_lines(self) -> str:
        """The end of the server's output, as far as it is there yet."""
        if self._process.poll() is not None:
            self._reader.join(5.0)
        return b"".join(self._tail).decode(errors="replace").rstrip()

    def _drain(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._tail.append(line)
                if self._log is not None:
                    self._log.write(line)
                    self._log.flush()


def _link_model(model: Path, target: Path) -> None:
    """Put a folder, or a model.tar.gz, where the contract has the model; nothing is copied."""
    if model.is_dir():
        target.symlink_to(model.resolve(), target_is_directory=True)
    else:
        target.mkdir()
        (target / "model.tar.gz").symlink_to(model.resolve())


def _docker_command(
    image: str, model: Path | None, port: int, environment: Mapping[str, str], options: Sequence[str]
) -> list[str]:
    command = ["docker", "run", "--rm", "-p", f"127.0.0.1:{port}:8080"]
    if model is not None:
        inside = "/opt/ml/model" if model.is_dir() else "/opt/ml/model/model.tar.gz"
        command += ["-v", f"{model.resolve()}:{inside}:ro"]
    for name, value in environment.items():
        command += ["-e", f"{name}={value}"]
    return [*command, *options, image, "serve"]
