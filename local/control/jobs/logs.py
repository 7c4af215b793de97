"""Log files of jobs and servers: each line behind its time in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_PIECE = 1 << 20  # bytes
_LINE = 1000  # bytes of a line, at most, where a log is read from its end


class Event(NamedTuple):
    """number: of the line.   time: seconds since 1970."""

    number: int
    time: float
    text: str


@dataclass
class Follower:
    """Reads a log as it grows."""

    path: Path
    _offset: int = 0
    _number: int = 0

    def read(self) -> Iterator[Event]:
        """The whole lines that have come since."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._offset)
            while True:
                piece = file.read(_PIECE)
                end = piece.rfind(b"\n") + 1
                if not end:
                    if len(piece) < _PIECE:
                        return
                    rest = file.readline()  # a line longer than a piece
                    if not rest.endswith(b"\n"):
                        return
                    piece, end = piece + rest, len(piece) + len(rest)
                file.seek(self._offset + end)
                self._offset += end
                for line in piece[: end - 1].split(b"\n"):
                    self._number += 1
                    yield _event(self._number, line)


def read(path: Path) -> Iterator[Event]:
    """All whole lines of a log."""
    return Follower(path).read()


def tail(path: Path, lines: int) -> list[Event]:
    """The last lines of a log, however long it is."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - lines * _LINE))
        found = file.read().split(b"\n")[:-1]
    whole = found if size <= lines * _LINE else found[1:]
    return [_event(number, line) for number, line in enumerate(whole[-lines:], 1)]


def _event(number: int, line: bytes) -> Event:
    stamp, _, text = line.decode(errors="replace").partition(" ")
    return Event(number, int(stamp) / 1000 if stamp.isdigit() else 0.0, text)
