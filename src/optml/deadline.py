"""The moment until which the work at hand is of use: what takes long looks at it on the way.

Standard library only: readers, models and the server share it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_until: ContextVar[float] = ContextVar("until", default=float("inf"))


class Overdue(Exception):  # noqa: N818 - it names the thing
    """Whoever waited for the work does so no more."""


@contextmanager
def until(moment: float) -> Iterator[None]:
    """Within, and on this thread alone, `check` raises from that moment (of `time.monotonic()`) on."""
    token = _until.set(moment)
    try:
        yield
    finally:
        _until.reset(token)


def check() -> None:
    """Raise Overdue after the moment; nothing where none was set."""
    if time.monotonic() > _until.get():
        raise Overdue
