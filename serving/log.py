"""The log of a server: what clients send stands there as text, never as a command to a terminal."""

from __future__ import annotations

import logging
import sys

_COMMANDS = (
    *(code for code in range(32) if code not in (9, 10)),  # C0, but for tabs and the ends of lines
    *range(127, 160),  # DEL and C1
    *range(0x2028, 0x202F),  # ends of lines and the direction of writing
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),  # halves of pairs, which no stream encodes
)
_SHOWN = {code: repr(chr(code))[1:-1] for code in _COMMANDS}


class Formatter(logging.Formatter):
    """Writes control characters as Python does: ESC is \\x1b."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(_SHOWN)


def start(level: int) -> None:
    """Log to stdout from now on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Formatter("[%(asctime)s %(levelname)s %(process)d] %(message)s"))
    logging.basicConfig(handlers=[handler], level=level, force=True)


def one_line(text: str) -> str:
    """Text of a client, of which nothing begins a line of its own."""
    return " ".join(text.split())[:500]
