"""The program that keeps one server of a model: it ends with the control plane, whatever ends that.

`python -m optml.local.control.endpoints.keeper`, told on the first line of its input, as JSON, what to serve.
The end of the input stops the server. Its log goes to a file, each line behind its time in milliseconds.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO

from optml.errors import PlatformError, UserError
from optml.local.endpoint import Endpoint


class Log(io.RawIOBase):
    """A file that puts the time before each line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, line: bytes) -> int:  # type: ignore[override]
        self._file.write(f"{time.time_ns() // 1_000_000} ".encode() + line.rstrip(b"\r\n") + b"\n")
        return len(line)

    def flush(self) -> None:
        self._file.flush()


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spec = json.loads(sys.stdin.readline())
    path = Path(spec["log"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        log = Log(file)
        try:
            endpoint = Endpoint(
                Path(spec["model"]) if spec["model"] else None,
                docker=spec["docker"],
                environment=spec["environment"],
                port=spec["port"],
                log=log,  # type: ignore[arg-type]
                docker_options=spec["options"],
            )
        except (UserError, PlatformError) as error:
            log.write(str(error).replace("\n", " ").encode())
            return 1

        def watch() -> None:
            sys.stdin.read()
            endpoint.stop()

        threading.Thread(target=watch, daemon=True).start()
        signal.signal(signal.SIGTERM, lambda *_: endpoint.terminate())
        endpoint.wait()
        return endpoint.stop()


if __name__ == "__main__":
    sys.exit(main())
