"""The folder of a tuning job: what is there of it after a kill is all that it needs to go on."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optml.errors import UserError

# What may be another at the next start: how far a job goes, not what it is.
MOVABLE = ("ResourceLimits", "TuningJobCompletionCriteria")


class Folder:
    """FOLDER/tuning-job.json: the request and the state of the job, written anew at each change.
    FOLDER/trials.jsonl: a line at each start and at each end of a trial; of a trial the last one counts.
    FOLDER/training-jobs/NAME/: of one trial.   FOLDER/best: a link to the best one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._job = path / "tuning-job.json"
        self._trials = path / "trials.jsonl"

    @contextmanager
    def opened(
        self, request: Mapping[str, Any]
    ) -> Iterator[tuple[dict[str, Any], dict[int, dict[str, Any]]]]:
        """Within, nobody else has the folder: what tuning-job.json said, and the records of trials by number;
        both empty in a new folder. Raises UserError for a folder of another job, or of one that runs."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file; name a folder")
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another tuning job runs in {self.path}: wait, or take another folder"
                ) from None
            description = self._description(request)
            if self._trials.exists():  # so that the next line begins at the margin
                with self._trials.open("r+b") as file:
                    file.truncate(len(self._whole()))
            yield description, self._records()

    def read(self) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
        """What is there of a job that somebody else goes on from, as in `opened`. Raises UserError."""
        if not self._job.exists():
            raise UserError(f"{self.path} is no folder of a tuning job: there is no tuning-job.json")
        return json.loads(self._job.read_text(encoding="utf-8")), self._records()

    def training_job(self, name: str) -> Path:
        return self.path / "training-jobs" / name

    def record(self, content: Mapping[str, Any]) -> None:
        """Add a line of a trial, and see that it is on the disk."""
        with self._trials.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def describe(self, content: Mapping[str, Any]) -> None:
        """Write tuning-job.json whole."""
        draft = self._job.with_suffix(".new")
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        draft.replace(self._job)

    def point_at(self, name: str) -> None:
        """Make `best` a link to a trial's folder."""
        draft = self.path / ".best"
        draft.unlink(missing_ok=True)
        draft.symlink_to(Path("training-jobs", name))
        draft.replace(self.path / "best")

    def _description(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if not self._job.exists():
            if self._trials.exists():
                raise UserError(f"{self.path} has trials.jsonl and no tuning-job.json: take another folder")
            return {}
        content: dict[str, Any] = json.loads(self._job.read_text(encoding="utf-8"))
        for part in request:
            before, now = (_lasting(job.get(part)) for job in (content, request))
            if before != now:
                raise UserError(
                    f"{self.path} holds another tuning job: {_difference(part, before, now)}; give what it "
                    "was to go on with that job, or another folder"
                )
        return content

    def _records(self) -> dict[int, dict[str, Any]]:
        """Of each trial the last line; one that was cut off by a kill is none."""
        records = map(json.loads, self._whole().splitlines())
        return {record["Number"]: record for record in records}

    def _whole(self) -> bytes:
        content = self._trials.read_bytes() if self._trials.exists() else b""
        return content[: content.rfind(b"\n") + 1]


def _lasting(part: object) -> object:
    """A part of a request without what may change; as JSON would give it back."""
    if isinstance(part, Mapping):
        part = {key: value for key, value in part.items() if key not in MOVABLE}
    return json.loads(json.dumps(part))


def _difference(name: str, before: object, now: object) -> str:
    """The first place at which two parts differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                return _difference(key, before.get(key), now.get(key))
    return f"{name} was {json.dumps(before)} and is {json.dumps(now)}"
