"""UBJSON (https://ubjson.org), as XGBoost writes it: is a text complete? The library's own reader runs past
the end of one that is not, and takes the process along."""

from __future__ import annotations

import struct

_SIZES = {b"i": 1, b"U": 1, b"C": 1, b"I": 2, b"l": 4, b"d": 4, b"L": 8, b"D": 8}  # bytes of a value
_DEPTH = 64  # of values within each other: a model has a dozen
_BARE = {b"T", b"F", b"Z", b"N"}
_INTEGERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}


def check(content: bytes) -> None:
    """Raises ValueError where a text of UBJSON ends early, or goes on with what is none."""
    _value(content, 0, 0)


def _value(content: bytes, at: int, depth: int) -> int:
    """The place behind the value that begins at `at`."""
    marker = _marker(content, at)
    at += 1
    if depth > _DEPTH:
        raise ValueError(f"more than {_DEPTH} values within each other at byte {at}")
    if marker == b"{":
        while _marker(content, at) != b"}":
            at = _value(content, _text(content, at), depth + 1)
        at += 1
    elif marker == b"[":
        at = _array(content, at, depth)
    elif marker == b"S":
        at = _text(content, at)
    elif marker in _SIZES:
        at += _SIZES[marker]
    elif marker not in _BARE:
        raise ValueError(f"byte {at - 1} is {marker.hex()}, where a value belongs")
    if at > len(content):
        raise ValueError(f"it ends early, after {len(content)} bytes")
    return at


def _array(content: bytes, at: int, depth: int) -> int:
    """`[$type#count` and values without markers, `[#count` and values, or values up to a bracket."""
    size = None
    if _marker(content, at) == b"$":
        size = _SIZES.get(_marker(content, at + 1))
        at += 2
        if size is None or _marker(content, at) != b"#":
            raise ValueError(f"an array of unknown type at byte {at}")
    if _marker(content, at) == b"#":
        count, at = _integer(content, at + 1)
        if size is not None:
            return at + count * size
        for _ in range(count):
            at = _value(content, at, depth + 1)
        return at
    while _marker(content, at) != b"]":
        at = _value(content, at, depth + 1)
    return at + 1


def _marker(content: bytes, at: int) -> bytes:
    if at >= len(content):
        raise ValueError(f"it ends early, after {len(content)} bytes")
    return content[at : at + 1]


def _text(content: bytes, at: int) -> int:
    """The place behind a string."""
    length, at = _integer(content, at)
    return at + length


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """A length and the place behind it."""
    form = _INTEGERS.get(_marker(content, at))
    if form is None:
        raise ValueError(f"byte {at} is {content[at : at + 1].hex()}, where a length belongs")
    try:
        (value,) = struct.unpack_from(form, content, at + 1)
    except struct.error:
        raise ValueError(f"it ends early, after {len(content)} bytes") from None
    if not 0 <= value <= len(content):
        raise ValueError(f"a length of {value} at byte {at}")
    return value, at + 1 + struct.calcsize(form)
