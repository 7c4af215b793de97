"""UBJSON (https://ubjson.org), as XGBoost writes it, read before the library does: its own reader runs past
the end of a text that is damaged, and takes the process along."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NUMBERS = {
    b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8",
}  # fmt: skip
_INTEGERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}
_DEPTH = 64  # levels of nesting at most; a model has a dozen
_BARE = {b"T": True, b"F": False, b"Z": None}


def read(content: bytes) -> Any:
    """The value of a text: dict, list, str, int, float, bool, None, or ndarray where all are of one type.
    Raises ValueError where it ends early, goes on with what is none, or names a member twice."""
    return _value(content, 0, 0)[0]


def member(content: bytes, name: str) -> bytes:
    """The text of a member of the outermost object. Raises ValueError where there is none, or as `read`."""
    at = 1
    while _marker(content, at) != b"}":
        key, at = _text(content, at)
        _, end = _value(content, at, 1)
        if key == name:
            return content[at:end]
        at = end
    raise ValueError(f"it has no '{name}'")


def _value(content: bytes, at: int, depth: int) -> tuple[Any, int]:
    """A value and the place behind it."""
    marker = _marker(content, at)
    at += 1
    if depth > _DEPTH:
        raise ValueError(f"more than {_DEPTH} values within each other at byte {at}")
    if marker == b"{":
        return _object(content, at, depth)
    if marker == b"[":
        return _array(content, at, depth)
    if marker == b"S":
        return _text(content, at)
    if marker in _NUMBERS:
        numbers, at = _numbers(content, at, marker, 1)
        return numbers[0].item(), at
    if marker in _BARE:
        return _BARE[marker], at
    raise ValueError(f"byte {at - 1} is {marker.hex()}, where a value belongs")


def _object(content: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    while _marker(content, at) != b"}":
        name, at = _text(content, at)
        if name in members:
            raise ValueError(f"'{name[:40]}' comes twice before byte {at}")
        members[name], at = _value(content, at, depth + 1)
    return members, at + 1


def _array(content: bytes, at: int, depth: int) -> tuple[Any, int]:
    """`[$type#count` and values without markers, `[#count` and values, or values up to a bracket."""
    kind = None
    if _marker(content, at) == b"$":
        kind = _marker(content, at + 1)
        at += 2
        if kind not in _NUMBERS or _marker(content, at) != b"#":
            raise ValueError(f"an array of unknown type at byte {at}")
    values: list[Any] = []
    if _marker(content, at) == b"#":
        count, at = _integer(content, at + 1)
        if kind is not None:
            return _numbers(content, at, kind, count)
        for _ in range(count):
            value, at = _value(content, at, depth + 1)
            values.append(value)
        return values, at
    while _marker(content, at) != b"]":
        value, at = _value(content, at, depth + 1)
        values.append(value)
    return values, at + 1


def _numbers(content: bytes, at: int, kind: bytes, count: int) -> tuple[np.ndarray, int]:
    form = np.dtype(_NUMBERS[kind])
    end = at + count * form.itemsize
    if end > len(content):
        raise _early(content)
    return np.frombuffer(content, form, count, at), end


def _marker(content: bytes, at: int) -> bytes:
    if at >= len(content):
        raise _early(content)
    return content[at : at + 1]


def _text(content: bytes, at: int) -> tuple[str, int]:
    """A string and the place behind it."""
    length, at = _integer(content, at)
    if at + length > len(content):
        raise _early(content)
    return content[at : at + length].decode(), at + length


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """A length and the place behind it."""
    form = _INTEGERS.get(_marker(content, at))
    if form is None:
        raise ValueError(f"byte {at} is {content[at : at + 1].hex()}, where a length belongs")
    try:
        (value,) = struct.unpack_from(form, content, at + 1)
    except struct.error:
        raise _early(content) from None
    if not 0 <= value <= len(content):
        raise ValueError(f"a length of {value} at byte {at}")
    return value, at + 1 + struct.calcsize(form)


def _early(content: bytes) -> ValueError:
    return ValueError(f"it ends early, after {len(content)} bytes")
