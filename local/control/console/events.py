"""Server-sent events."""

from __future__ import annotations

TICK = 1.0  # seconds between events


def event(name: str, text: str) -> str:
    """One event of that name, of any lines."""
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"event: {name}\n{lines}\n"
