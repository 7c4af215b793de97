"""Programs for tests, forked from one process that has imported what they import.

A job of a test takes tenths of a second; importing torch takes two, on each host. What is forked here is a
real process all the same: with its own signals, files, output, exit code and death. Where there is no fork
(or where a test looks at how a program starts) `subprocess` takes its place.

`python -m tests.contract.forks` is the process that forks, told what by its standard input, a socket.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = sys.platform == "linux"
MESSAGE_BYTES = 1 << 20
# Whatever is not installed is left out. Nothing here may start a thread, which would not survive the fork.
IMPORTED = (
    "torch",
    "torch.distributed",
    "numba",
    "scipy.sparse",
    "safetensors.numpy",
    "pyarrow.parquet",
    "xgboost",
    "faiss",
    "optml.container.train",
    "optml.container.rows",
    "optml.container.spill",
    "optml.container.scratch",
    "optml.formats.csv",
    "optml.formats.record_protobuf",
    "optml.formats.recordio",
)


class Forked:
    """A running program: that part of `subprocess.Popen` which tests use."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """command: what follows the interpreter, `-m module ...` or `-c program ...`."""
        output, write = os.pipe()
        status, told = os.pipe()
        message = json.dumps([list(command), dict(environment)]).encode()
        socket.send_fds(_forker(), [message], [write, told])
        os.close(write)
        os.close(told)
        self.args = list(command)
        self.returncode: int | None = None
        self.stdout: Any = os.fdopen(output, encoding="utf-8", errors="replace")
        self._status = os.fdopen(status)
        self.pid = int(self._status.readline())
        self._log = ""
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.wait()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        if not self._readers:
            self._readers.append(threading.Thread(target=self._read, daemon=True))
            self._readers[0].start()
        self._readers[0].join(timeout)
        if self._readers[0].is_alive():
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.stdout.close()
        self.wait(timeout)
        return self._log, None

    def _read(self) -> None:
        self._log = self.stdout.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _forker() -> socket.socket:
    """The process that forks, started when first asked; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_BYTES)
    # One thread each, which cannot be changed once the libraries are imported. Only one set of threads in two
    # processes would be worse: OpenMP's do not survive a fork.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with theirs:
        subprocess.Popen(
            [sys.executable, "-m", "tests.contract.forks"], cwd=ROOT, stdin=theirs, env=os.environ | threads
        ).returncode = 0  # nobody waits for it
    atexit.register(ours.close)
    return ours


def _serve() -> None:
    """Fork what is asked for, until whoever asks is gone."""
    from importlib.util import find_spec

    asked = socket.socket(fileno=os.dup(0))
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    for name in IMPORTED:
        if find_spec(name.partition(".")[0]):
            importlib.import_module(name)
    while True:
        message, files, _, _ = socket.recv_fds(asked, MESSAGE_BYTES, 2)
        if not message:
            return
        output, status = files
        if os.fork() == 0:
            asked.close()
            _watch(*json.loads(message), output, status)
        os.close(output)
        os.close(status)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _watch(command: list[str], environment: dict[str, str], output: int, status: int) -> NoReturn:
    """Fork the program; tell its process id, and how it ended."""
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _run(command, environment, output)
    os.close(output)
    os.write(status, f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(status, f"{code}\n".encode())
    os._exit(0)


def _run(command: list[str], environment: dict[str, str], output: int) -> NoReturn:
    """Be the program."""
    code: object = 1
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    how, what, *sys.argv[1:] = command
    try:
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.argv[0] = how
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
    os._exit(0)  # torch takes its time to go
