"""What of tuning takes NumPy, torch and the algorithms, asked of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from optml.errors import PlatformError, UserError


class Oracle:
    """Starts `python -m optml.local.tuning` at the first question, and ends it on leaving."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Oracle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()  # its input ends, and so does it

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Raises UserError for a question that makes no sense, PlatformError where the process has ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "optml.local.tuning"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for the server
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PlatformError("the process that proposes hyperparameters has ended (out of memory?)")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise UserError(answer["error"])
        return answer
