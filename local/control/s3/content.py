"""Contents of objects: files under ids of their own, written whole before anybody sees them."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from optml.local.control.database import Database
from optml.local.control.home import Home


class Contents:
    """Where content files lie. One is written as `incoming/ID`, and moves to `objects/ID` before a row of the
    database names it; parts of uploads stay where they are. What a kill leaves without a row goes at the next
    start."""

    def __init__(self, home: Home, database: Database) -> None:
        self._home = home
        self._database = database
        self._objects = home.objects

    def new(self) -> tuple[str, Path]:
        """An id, and the path to write its content to."""
        name = uuid.uuid4().hex
        return name, self._home.incoming / name

    def path(self, content: str) -> Path:
        return Path(f"{self._objects}/{content[:2]}/{content}")  # one of thousands in a listing

    def incoming(self, content: str) -> Path:
        return self._home.incoming / content

    def keep(self, content: str) -> None:
        """Before the row that names it is written."""
        source = self.incoming(content)
        source.chmod(0o444)  # jobs see it through hard links: none may change it
        target = self.path(content)
        target.parent.mkdir(exist_ok=True)
        source.replace(target)

    def remove(self, contents: Iterable[str]) -> None:
        """After the commit that has removed the rows; who reads one reads on."""
        for content in contents:
            self.path(content).unlink(missing_ok=True)
            self.incoming(content).unlink(missing_ok=True)

    def recover(self) -> None:
        """At the start: remove contents that no row names, unless the last run has ended in order."""
        parts = {content for (content,) in self._database.rows("SELECT content FROM parts")}
        for path in self._home.incoming.iterdir():
            if path.name not in parts:
                path.unlink()
        if self._home.dirty.exists():
            objects = {content for (content,) in self._database.rows("SELECT content FROM objects")}
            for path in self._home.objects.glob("*/*"):
                if path.name not in objects:
                    path.unlink()
        self._home.dirty.touch()

    def close(self) -> None:
        """The end, in order: nothing is left without a row."""
        self._home.dirty.unlink(missing_ok=True)


def joined(sources: Sequence[Path], target: Path) -> None:
    """Write files one after the other into a new one; the bytes do not pass through this process."""
    with target.open("wb") as output:
        for source in sources:
            with source.open("rb") as part:
                _copy(part.fileno(), output.fileno(), os.fstat(part.fileno()).st_size)


def _copy(source: int, target: int, left: int) -> None:
    try:
        while left and (count := os.copy_file_range(source, target, left)):
            left -= count
    except OSError:  # not on this file system
        pass
    while left and (count := os.sendfile(target, source, None, left)):
        left -= count


def link_or_copy(source: Path, target: Path) -> None:
    """The same content under another path: without copying where both lie on one disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
