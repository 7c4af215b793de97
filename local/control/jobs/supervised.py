"""Supervisors: programs that do one job's work each and outlive whoever started them.

Both sides meet in the job's folder: `job.json` says what to do, `handle` that somebody has begun, a lock on
`lock` that they live, a file `stop` that they are to end, `exit.json` what came of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from optml.errors import PlatformError, UserError

_LOCK, _HANDLE, _EXIT, STOP, SPEC = "lock", "handle", "exit.json", "stop", "job.json"


class VanishedError(Exception):
    """The supervisor has ended without a word."""


class Supervised:
    """`module`: of the program."""

    def __init__(self, folder: Path, module: str) -> None:
        self.folder = folder
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def started(self) -> bool:
        """Has a supervisor begun, now or before this process?"""
        return (self.folder / _HANDLE).exists()

    def start(self, spec: Mapping[str, Any]) -> None:
        write(self.folder / SPEC, json.dumps(spec, indent=1))
        with (self.folder / "supervisor.log").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module, str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.folder,
            )

    def stop(self) -> None:
        """Tell the supervisor to end its job; one that has not begun finds the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / STOP).touch()
        with suppress(OSError, ValueError):
            pid = int((self.folder / _HANDLE).read_text())
            if self._locked():  # so the number is still its own
                os.kill(pid, signal.SIGTERM)

    def outcome(self) -> dict[str, Any] | None:
        """What came of the job; None: it is not at its end. Raises VanishedError."""
        alive = self._alive()  # asked first: the file is written before the end
        path = self.folder / _EXIT
        if not path.exists():
            if alive:
                return None
            raise VanishedError("the process vanished (machine restarted?)")
        if self._process is not None:
            self._process.wait()
        outcome: dict[str, Any] = json.loads(path.read_text())
        return outcome

    def _alive(self) -> bool:
        return self._process.poll() is None if self._process is not None else self._locked()

    def _locked(self) -> bool:
        """Does a supervisor hold the lock? Asked once one has begun: before, that would be in its way."""
        try:
            with (self.folder / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False


def supervise(folder: Path, work: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """The supervisor's side: do the work that is described, unless another does or has done it, and write
    down what came of it. SIGTERM is ignored until the work asks for it: then it looks for the file `stop`."""
    lock = (folder / _LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    if (folder / _EXIT).exists() or (folder / _HANDLE).exists():
        return 0
    signal.signal(signal.SIGTERM, lambda *_: None)  # SIG_IGN would be passed on to children
    write(folder / _HANDLE, str(os.getpid()))
    try:
        outcome = work(json.loads((folder / SPEC).read_text()))
    except (UserError, PlatformError, OSError) as error:
        kind = "ClientError" if isinstance(error, UserError) else "InternalServerError"
        outcome = {"code": 1, "failure": f"{kind}: {error}", "stopped": None}
    write(folder / _EXIT, json.dumps({**outcome, "ended": time.time()}))
    return 0


def write(path: Path, text: str) -> None:
    """A file that is there whole, or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)
