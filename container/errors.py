"""Whose fault a failure is: the failure file, the last line of the log, and the exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optml.errors import PlatformError, UserError

LIMIT = 1024  # characters of the failure file that become the job's FailureReason

EXIT_CODES = {"ClientError": 2, "AlgorithmError": 1, "PlatformError": 3}
LOGGED = {
    "ClientError": "Customer Error",
    "AlgorithmError": "Algorithm Error",
    "PlatformError": "Platform Error",
}

# Hyperparameters that bound how much memory training takes; those that an algorithm has are named.
MEMORY = ("mini_batch_size", "batch_size", "k", "extra_center_factor", "local_lloyd_num_trials")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed. `text` is one line without the kind; several problems are joined by "; "."""

    kind: Literal["ClientError", "AlgorithmError", "PlatformError"]
    text: str
    traceback: str = ""  # for the log, where the fault may be ours

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.kind]

    @property
    def reason(self) -> str:
        """The content of the failure file: at most 1024 characters."""
        whole = f"{self.kind}: {self.text}"
        return whole if len(whole) <= LIMIT else whole[: LIMIT - 3] + "..."

    @property
    def line(self) -> str:
        """The text as the log ends with it: `Customer Error: ...` is the form that AWS's images print."""
        return f"{LOGGED[self.kind]}: {self.text}"


class JobFailedError(Exception):
    """Raised on every host for a failure that one of them has told the others."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def explain(error: BaseException, hyperparameters: Iterable[str] = ()) -> Failure:
    """Sort an exception into one of the three kinds and say it in a sentence.

    `hyperparameters` are the names that the algorithm knows, so that out of memory can name one to lower.
    """
    if isinstance(error, JobFailedError):
        return error.failure
    if isinstance(error, UserError):
        return Failure("ClientError", _one_line(str(error)))
    if isinstance(error, PlatformError):
        return Failure("PlatformError", _one_line(str(error)))
    if _exhausted(error) is not None:
        return Failure("ClientError", _out_of_memory(error, hyperparameters), _trace(error))
    system = system_error(error)
    known = _surroundings(system) if system else None
    if known:
        return Failure("PlatformError", known)
    said = _one_line(str(error))
    name = type(error).__name__
    text = f"{name}: {said}" if said else name
    return Failure("AlgorithmError", f"{text}, see the log for the traceback", _trace(error))


def system_error(error: BaseException) -> OSError | None:
    """The error of the operating system behind an exception: itself, or the one that safetensors, written in
    Rust, names only in its text."""
    if isinstance(error, OSError):
        return error
    if type(error).__name__ == "SafetensorError":
        number = re.search(r"\(os error (\d+)\)", str(error))
        return OSError(int(number[1]), os.strerror(int(number[1]))) if number else None
    return None


def write(failure: Failure, path: Path) -> None:
    """Write the failure file in one piece. A file that can't be written is no second failure: the log has
    the text already."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        with temporary.open("w", encoding="utf-8", errors="replace") as file:
            file.write(failure.reason)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _surroundings(error: OSError) -> str | None:
    """What is wrong with the machine, for the errors of files that a user can do something about."""
    where = f" {error.filename}" if error.filename else " its output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left on the disk while writing{where}; give the job a larger volume (VolumeSizeInGB)"
        )
    if error.errno == errno.EROFS:
        return f"cannot write{where}: the file system is read-only; mount it writable"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"no permission for{where if error.filename else ' a file'}; "
            f"it must be accessible to the container's user (uid {os.getuid()})"
        )
    if error.errno == errno.EMFILE:
        return "too many open files; raise the limit of open files (ulimit -n)"
    return None


def _exhausted(error: BaseException) -> str | None:
    """What is said of memory that was asked for in vain; None: the error is another one."""
    said = _one_line(str(error))
    if isinstance(error, MemoryError):
        return said
    if type(error).__name__ == "OutOfMemoryError":
        # torch's, of a GPU: the first sentences tell how much was asked for and how much there was
        return ". ".join(said.split(". ")[:3]).rstrip(".")
    asked = re.search(r"can't allocate memory: (you tried to allocate \d+ bytes)", said)  # torch's, of a CPU
    return asked[1] if isinstance(error, RuntimeError) and asked else None


def _out_of_memory(error: BaseException, hyperparameters: Iterable[str]) -> str:
    known = set(hyperparameters)
    names = " or ".join(name for name in MEMORY if name in known)
    lower = f"lower {names} or " if names else ""
    said = _exhausted(error)
    place = "GPU memory" if type(error).__name__ == "OutOfMemoryError" else "memory"
    return f"out of {place}{f' ({said})' if said else ''}; {lower}use an instance with more {place}"


def _one_line(text: str) -> str:
    """Lines joined by "; "; characters that no reader would see, or a terminal obey, escaped."""
    line = "; ".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
