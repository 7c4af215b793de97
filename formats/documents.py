"""JSON documents that may be large: long lists are parsed run by run, so that their items are in memory a run
at a time.

A Python list of empty lists takes thirty times the memory of its text, one of short texts twenty times. So a
document of more than `RUN` bytes is cut first, by its brackets, quotes and commas alone, which NumPy finds
without parsing; each run of a list is then a small document of its own.
"""

from __future__ import annotations

import gc
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson

from optml.deadline import check
from optml.errors import UserError
from optml.formats.blocks import lines

RUN = 1 << 18  # bytes of text that are parsed at once
DEEPEST = 16  # long lists or objects that lie in each other
_CHUNK = 1 << 16  # bytes that are searched for marks at once
_BLANK = b" \t\r\n"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_COMMA = re.compile(rb"(%b)|,([ \t\r\n]*+[\]}])" % _STRING, re.S)
_SLIPS = re.compile(rb"(?m)(%b)|,([ \t\r]*+(?:[\]}]|$))|^\xef\xbb\xbf" % _STRING.replace(b".", b"[^\n]"))
_DOUBLE = re.compile(rb",[ \t\r\n]*+,")
_KEY = re.compile(rb"[ \t\r\n]*+(%b)[ \t\r\n]*+:" % _STRING, re.S)

_decode = json.JSONDecoder().decode
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # typeshed lacks it

_MARKS = np.zeros(256, bool)
_MARKS[np.frombuffer(b"[]{},", np.uint8)] = True
_STEPS = np.zeros(256, np.int32)
_STEPS[np.frombuffer(b"[{", np.uint8)] = 1
_STEPS[np.frombuffer(b"]}", np.uint8)] = -1

Values: TypeAlias = "list[Any] | Long"


@dataclass(frozen=True, slots=True, repr=False)
class Long:
    """A list of more than `RUN` bytes of text. Raises UserError, when it is passed, for what is no JSON."""

    text: bytes
    start: int  # behind its opening bracket
    stop: int  # of its closing one
    where: str
    depth: int = 1

    def runs(self) -> Iterator[list[Any]]:
        """The items, some at a time."""
        for start, stop in _runs(self.text, self.start, self.stop, self.where):
            check()
            if stop - start > 2 * RUN:
                yield [_value(self.text, start, stop, self.where, self.depth + 1)]
            else:
                yield loads(b"[" + self.text[start:stop] + b"]", self.where)

    def __repr__(self) -> str:
        return "a long list"

    def head(self, count: int) -> list[Any]:
        """The first items."""
        items: list[Any] = []
        for run in self.runs():
            items += run[: count - len(items)]
            if len(items) == count:
                break
        return items


def runs(values: Values) -> Iterable[list[Any]]:
    """The items of a list of any length, some at a time."""
    return values.runs() if isinstance(values, Long) else (values,)


def listed(document: Any, name: str) -> Values | None:
    """The list of that name in an object; None where there is none."""
    values = document.get(name) if isinstance(document, dict) else None
    return values if isinstance(values, list | Long) else None


def parse(text: bytes, where: str) -> Any:
    """A JSON document, whose lists are `Long` where they are. As `loads` but for that."""
    if len(text) <= RUN:
        return loads(text, where)
    start = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    stop = len(text.rstrip(_BLANK))
    if text[stop - 1 : stop] == b",":
        stop -= 1
    return _value(text, start, stop, where, 0)


def loads(text: bytes, where: str) -> Any:
    """Parse JSON of moderate size. NaN and Infinity are read, and commas before closing brackets and at the
    end are forgiven. Raises UserError naming `where`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        problem = str(error)
    text = mended(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # with words that are Python's
        pass
    try:
        return _decode(text.decode())
    except (ValueError, RecursionError):
        pass
    raise UserError(f"{where} is not valid JSON: {problem}")


def mended(text: bytes) -> bytes:
    """The text without byte order mark, and without commas before closing brackets and at the end."""
    text = text.removeprefix(b"\xef\xbb\xbf").rstrip(_BLANK).removesuffix(b",")
    if _plain(text):
        text = text.replace(b",]", b"]").replace(b",}", b"}")
    return _COMMA.sub(rb"\1\2", text) if b"," in text else text


def each_line(body: bytes, one: Callable[[bytes, int], Any]) -> Iterator[tuple[int, Any]]:
    """Pairs (number, document) of the lines of a text that are not blank, parsed a block at a time.

    one: parses what is no plain JSON, or long; it is handed the line and its number.
    """
    number = 1
    for block in lines(io.BytesIO(body), RUN, source="the request"):
        check()
        texts = block.splitlines()
        numbered = [(at, line) for at, line in enumerate(texts, number) if line and not line.isspace()]
        number += len(texts)
        try:
            if len(block) > 2 * RUN:
                raise ValueError("a long line")
            documents = [orjson.loads(text) for _, text in numbered]
        except ValueError:
            yield from ((at, one(text, at)) for at, text in numbered)
        else:
            yield from zip((at for at, _ in numbered), documents, strict=True)


@contextmanager
def uncollected() -> Iterator[None]:
    """Within, Python's collector does not look for cycles, of which documents have none: beside many it costs
    more than reading them. For a process of one thread."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def parse_each(texts: list[bytes], where: Callable[[int], str]) -> list[Any]:
    """The documents of lines of text, each as by `parse`; `where` names the one of that place."""
    if all(len(text) <= RUN for text in texts):
        try:
            return list(map(orjson.loads, texts))
        except orjson.JSONDecodeError:
            pass
        mended_texts = _mended_lines(texts)
        try:  # as `loads` would, but all at once
            return list(map(orjson.loads, mended_texts))
        except orjson.JSONDecodeError:
            pass
        try:
            return [_scanned(text.strip(_BLANK).decode()) for text in mended_texts]
        except (ValueError, RecursionError):
            pass
    return [parse(text, where(place)) for place, text in enumerate(texts)]


def _mended_lines(texts: list[bytes]) -> list[bytes]:
    """The lines, each `mended`."""
    block = b"\n".join(texts)
    if _plain(block):
        block = block.replace(b",\n", b"\n").replace(b",]", b"]").replace(b",}", b"}")
    if b"," in block or b"\xef" in block:
        block = _SLIPS.sub(rb"\1\2", block)
    return block.split(b"\n")


def _plain(text: bytes) -> bool:
    """May commas be dropped without looking at what stands around? Two in a row are no slip."""
    return b'"' not in text and _DOUBLE.search(text) is None


def _scanned(text: str) -> Any:
    """A document by Python's own parser, without the cost of its wrapping. Raises ValueError."""
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("no document") from None
    if end != len(text):
        raise ValueError("more than a document")
    return value


def _value(text: bytes, start: int, stop: int, where: str, depth: int) -> Any:
    """The value that fills a stretch of text."""
    while start < stop and text[start] in _BLANK:
        start += 1
    while start < stop and text[stop - 1] in _BLANK:
        stop -= 1
    if stop - start <= RUN or text[start : start + 1] not in (b"[", b"{"):
        return loads(text[start:stop], where)
    if depth > DEEPEST:
        raise UserError(f"{where} holds lists in lists deeper than {DEEPEST}")
    is_list = text[start : start + 1] == b"["
    if text[stop - 1 : stop] != (b"]" if is_list else b"}"):
        raise _invalid(where, "it does not end as it begins")
    if is_list:
        return Long(text, start + 1, stop - 1, where, depth)
    return _object(text, start + 1, stop - 1, where, depth)


def _object(text: bytes, start: int, stop: int, where: str, depth: int) -> dict[str, Any]:
    """The object of a stretch of text that is longer than a run: of few fields, some of which are long."""
    fields: dict[str, Any] = {}
    small = 0
    for begin, end in _runs(text, start, stop, where):
        if end - begin <= 2 * RUN:
            small += end - begin
            if small > 4 * RUN:
                raise UserError(f"{where} holds an object of very many fields; records belong into lists")
            fields |= loads(b"{" + text[begin:end] + b"}", where)
            continue
        key = _KEY.match(text, begin, end)
        if key is None:
            raise _invalid(where, "a key is missing")
        fields[loads(key[1], where)] = _value(text, key.end(), end, where, depth + 1)
    return fields


def _runs(text: bytes, start: int, stop: int, where: str) -> Iterator[tuple[int, int]]:
    """Stretches of whole items of the list or object whose inside is text[start:stop]: of several that are
    together no longer than two runs, or of a single one.

    Raises UserError for a comma too many, but for one at the end, and for brackets that are not closed."""
    begin, end = start, start  # of the run at hand; the last comma in it, if it is behind `begin`
    for commas in _commas(text, start, stop, where):
        first, last = int(commas[0]), int(commas[-1])
        if end > begin and last - begin > RUN + _CHUNK:
            yield _items(text, begin, end, where)
            begin = end = end + 1
        if first - begin > RUN:
            yield _items(text, begin, first, where)
            begin = end = first + 1
        end = max(end, last)
    if end > begin and stop - begin > RUN + _CHUNK:
        yield _items(text, begin, end, where)
        begin = end + 1
    rest = text[begin:stop].rstrip(_BLANK)
    if rest.endswith(b",") or not rest:  # a comma too many at the end is forgiven
        if rest:
            yield _items(text, begin, begin + len(rest) - 1, where)
        return
    yield _items(text, begin, stop, where)


def _items(text: bytes, start: int, stop: int, where: str) -> tuple[int, int]:
    """The stretch itself. Raises UserError if a comma stands at its edge."""
    begin, end = start, stop
    while begin < end and text[begin] in _BLANK:
        begin += 1
    while begin < end and text[end - 1] in _BLANK:
        end -= 1
    if begin == end or text[begin] == ord(",") or text[end - 1] == ord(","):
        raise _invalid(where, "a comma too many")
    return start, stop


def _commas(text: bytes, start: int, stop: int, where: str) -> Iterator[np.ndarray]:
    """Where commas of text[start:stop] stand that are in no string and no brackets, some at a time."""
    depth = quoted = escapes = 0
    for at in range(start, stop, _CHUNK):
        chunk = np.frombuffer(text, np.uint8, min(_CHUNK, stop - at), at)
        quotes = np.flatnonzero(chunk == ord('"'))
        slashes = chunk == ord("\\")
        if escapes or slashes.any():
            quotes, escapes = _unescaped(quotes, slashes, escapes)
        marks = np.flatnonzero(_MARKS[chunk])
        marks = marks[(np.searchsorted(quotes, marks) + quoted) % 2 == 0]
        quoted = (quoted + len(quotes)) % 2
        if not len(marks):
            continue
        depths = depth + np.cumsum(_STEPS[chunk[marks]])
        depth = int(depths[-1])
        if depths.min() < 0:
            raise _invalid(where, "a bracket is closed that was not opened")
        commas = marks[(chunk[marks] == ord(",")) & (depths == 0)]
        if len(commas):
            yield commas + at
    if depth or quoted:
        raise _invalid(where, "a string is not closed" if quoted else "a bracket is not closed")


def _unescaped(quotes: np.ndarray, slashes: np.ndarray, before: int) -> tuple[np.ndarray, int]:
    """The quotes behind an even number of backslashes, of which `before` stood at the end of the last chunk;
    and how many stand at the end of this one."""
    places = np.arange(len(slashes))
    other = np.maximum.accumulate(np.where(slashes, -1, places))  # the last place without one
    run = places - other + np.where(other < 0, before, 0)  # backslashes that end at each place
    preceding = np.where(quotes > 0, run[quotes - 1], before)
    return quotes[preceding % 2 == 0], int(run[-1])


def _invalid(where: str, problem: str) -> UserError:
    return UserError(f"{where} is not valid JSON: {problem}")
