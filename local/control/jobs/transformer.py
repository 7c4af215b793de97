"""The program that does one transform job: `python -m optml.local.control.jobs.transformer FOLDER`.

It serves the model that `job.json` describes, sends FOLDER/input through it, and leaves FOLDER/output and the
logs of the servers and of the data.
"""

from __future__ import annotations

import logging
import signal
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from optml.local.control.endpoints.keeper import Log
from optml.local.control.jobs.chain import chained
from optml.local.control.jobs.supervised import STOP, supervise
from optml.local.endpoint import Endpoint
from optml.local.transform.job import TransformSettings, transform

_STOPPED = 143  # 128 + SIGTERM


def main(folder: Path) -> int:
    def work(spec: dict[str, Any]) -> dict[str, Any]:
        signal.signal(signal.SIGTERM, _end)
        try:
            if (folder / STOP).exists():
                _end()
            return _transformed(folder, spec)
        except _StoppedError:
            return {"code": _STOPPED, "failure": "", "stopped": "user"}

    return supervise(folder, work)


class _StoppedError(Exception):
    """SIGTERM has come."""


def _end(*unused: object) -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)
    raise _StoppedError


def _transformed(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    settings = TransformSettings(**spec["settings"])
    host = f"algo-1-{uuid.uuid4().hex[:8]}"
    (folder / "log").mkdir(exist_ok=True)
    with ExitStack() as stack:
        data_log = Log(stack.enter_context((folder / "log" / f"{host}~data-log.log").open("ab")))
        handler = logging.StreamHandler(_Text(data_log))
        logger = logging.getLogger("optml.local")
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        urls = []
        for number, serving in enumerate(spec["servers"]):
            name = host if not number else f"{host}-{number + 1}"
            log = Log(stack.enter_context((folder / "log" / f"{name}.log").open("ab")))
            endpoint = Endpoint(
                Path(serving["model"]) if serving["model"] else None,
                docker=serving["docker"],
                environment={**serving["environment"], **settings.environment(), **spec["environment"]},
                log=log,  # type: ignore[arg-type]
            )
            urls.append(stack.enter_context(endpoint).url)
        url = stack.enter_context(chained(urls))
        report = transform(folder / "input", folder / "output", url, settings)
        for name, reason in report.failed.items():
            data_log.write(f"{name}: {reason}".replace("\n", " ").encode())
    failure = ""
    if report.failed:
        name, reason = next(iter(report.failed.items()))
        failure = (
            f"ClientError: {len(report.failed)} of {len(report.failed) + len(report.done)} objects failed; "
        )
        failure += f"{name}: {reason}"
    return {"code": 1 if report.failed else 0, "failure": failure, "stopped": None, "done": report.done}


class _Text:
    """A log as a stream of text."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def write(self, text: str) -> None:
        if text.strip():
            self._log.write(text.encode())

    def flush(self) -> None:
        self._log.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
