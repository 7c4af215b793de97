"""The program that watches over one training job: `python -m optml.local.control.jobs.supervisor FOLDER`.

It leaves in FOLDER `log/HOST.log`, each line behind its time in milliseconds.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from optml.local.control.jobs.supervised import STOP, supervise
from optml.local.feeder import Unit
from optml.local.training_job import Command, Input, TrainingJob


class Logs:
    """A file for each host: lines behind their times."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[str]] = {}

    def __enter__(self) -> Logs:
        self._folder.mkdir(exist_ok=True)
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()

    def write(self, host: str, text: str) -> None:
        if host not in self._files:
            self._files[host] = (self._folder / f"{host}.log").open("a", buffering=1, newline="\n")
        line = text.rpartition("\r")[2]  # of a bar, the last state
        self._files[host].write(f"{time.time_ns() // 1_000_000} {line}\n")


class _Run:
    """One job from its start to its end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stopped: str | None = None

    def outcome(self, spec: dict[str, Any]) -> dict[str, Any]:
        job = TrainingJob(
            spec["algorithm"],
            spec["hyperparameters"],
            {name: _input(channel) for name, channel in spec["channels"].items()},
            model=self._folder / "model",
            checkpoints=self._folder / "checkpoints" if spec["checkpoints"] else None,
            root=self._folder / "ml",
            docker=spec["docker"],
            gpus=spec["gpus"],
            command=Command(*spec["command"]),
            hosts=spec["hosts"],
            environment=spec["environment"],
        )
        with Logs(self._folder / "log") as logs, job:
            for warning in spec["warnings"]:
                logs.write("algo-1", f"optml: {warning}")
            signal.signal(signal.SIGTERM, lambda *_: self._stop(job, "user"))
            if (self._folder / STOP).exists():
                self._stop(job, "user")
            timer = threading.Timer(spec["seconds"], self._stop, (job, "runtime"))
            timer.daemon = True
            timer.start()
            for line in job.log():
                logs.write(line.host, line.text)
            timer.cancel()
            return {"code": job.wait(), "failure": job.failure, "stopped": self._stopped}

    def _stop(self, job: TrainingJob, why: str) -> None:
        if self._stopped is None:
            self._stopped = why
            job.stop()


def _input(channel: dict[str, Any]) -> Input:
    return Input(
        [],
        channel["content_type"],
        channel["mode"],
        channel["distribution"],
        shares=[_share(share) for share in channel["shares"]],
        wrapper=channel["wrapper"],
        shuffle=channel["shuffle"],
    )


def _share(share: list[str] | dict[str, str]) -> list[Path | Unit]:
    """What one host gets: paths, or the units that a file lists."""
    if isinstance(share, list):
        return [Path(source) for source in share]
    with Path(share["units"]).open() as lines:
        return [
            tuple(Path(value) if kind == "path" else value.encode() for kind, value in json.loads(line))
            for line in lines
        ]


if __name__ == "__main__":
    sys.exit(supervise(Path(sys.argv[1]), _Run(Path(sys.argv[1])).outcome))
