"""The subset of JSONPath that batch transform's filters are written in.

    $            the record              $.name   $['name']     a member of an object
    $['a','b']   an object of members    $.*      $[*]          every member or element, as a list
    $[2]  $[-1]  an element              $[0,-1]  $[0,5:]       several elements, as a list
    $[1:4]       a slice

At most 63 characters. The end of a slice is excluded for JSON arrays, as in the JsonPath library that the
developer guide points to, and included for the columns of a CSV row, as the guide's own examples have it
("$[1:4]" is explained there as columns two to five). What is named must be there, as the API's reference has
it of OutputFilter: an index or the bound of a slice beyond the row, and a key that is absent, are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from optml.errors import UserError

LONGEST = 63  # characters, a limit of the service
_NAME = re.compile(r"""[^.\[\]*'",:()?@$\s\\]+""")
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Names:
    names: tuple[str, ...]
    definite = True  # it yields one value: a member, or an object of several

    def of(self, value: Any) -> Iterator[Any]:
        if not isinstance(value, dict):
            raise UserError(f"it has no key '{self.names[0]}': it is {_kind(value)}, not an object")
        missing = [name for name in self.names if name not in value]
        if missing:
            has = ", ".join(map(str, list(value)[:10])) or "none"
            raise UserError(f"it has no key '{missing[0]}'; its keys: {has}")
        yield value[self.names[0]] if len(self.names) == 1 else {name: value[name] for name in self.names}


@dataclass(frozen=True, slots=True)
class _Indexes:
    items: tuple[int | slice, ...]

    @property
    def definite(self) -> bool:
        return len(self.items) == 1 and isinstance(self.items[0], int)

    def of(self, value: Any) -> Iterator[Any]:
        if not isinstance(value, list):
            raise UserError(f"it has no elements: it is {_kind(value)}, not an array")
        for item in self.items:
            if isinstance(item, slice):
                _check_bounds(item, len(value), "elements", last=len(value))
                yield from value[item]
            else:
                yield value[_position(item, len(value), "elements")]


@dataclass(frozen=True, slots=True)
class _Every:
    definite = False

    def of(self, value: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list):
            yield from value
        else:
            raise UserError(f"it has no members: it is {_kind(value)}, not an object or array")


_Step: TypeAlias = _Names | _Indexes | _Every


@dataclass(frozen=True, slots=True)
class JSONPath:
    """A parsed filter; `str()` gives it back as it was written."""

    text: str
    steps: tuple[_Step, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def whole(self) -> bool:
        """Is it `$`, which changes nothing?"""
        return not self.steps

    @classmethod
    def parse(cls, text: str) -> JSONPath:
        """Raises UserError that shows the place in the text that it cannot read."""
        if len(text) > LONGEST:
            raise UserError(f"filter '{text}' has {len(text)} characters; at most {LONGEST} are allowed")
        return cls(text, tuple(_Parser(text).steps()))

    def select(self, value: Any) -> Any:
        """The part of a JSON value that the path names. Raises UserError where there is none."""
        values, definite = [value], True
        for step in self.steps:
            try:
                values = [part for each in values for part in step.of(each)]
            except UserError as error:
                raise UserError(f"filter '{self.text}' does not fit the record: {error}") from None
            definite = definite and step.definite
        return values[0] if definite else values

    def columns(self, count: int) -> list[int]:
        """The columns of a CSV row of `count` cells that the path names, in its order, counted from 0.

        Raises UserError for a path by name, an index that the row lacks, and a choice of nothing.
        """
        if not self.steps or self.steps == (_Every(),):
            return list(range(count))
        step = self.steps[0]
        if len(self.steps) > 1 or not isinstance(step, _Indexes):
            raise UserError(
                f"filter '{self.text}' goes by name, but CSV columns have none; use indexes, as in '$[0,2:]'"
            )
        chosen: list[int] = []
        for item in step.items:
            try:
                if isinstance(item, slice):
                    _check_bounds(item, count, "columns", last=count - 1)
                    start = 0 if item.start is None else item.start % count
                    stop = count - 1 if item.stop is None else item.stop % count
                    chosen += range(start, stop + 1)
                else:
                    chosen.append(_position(item, count, "columns"))
            except UserError as error:
                raise UserError(f"filter '{self.text}' does not fit the row: {error}") from None
        if not chosen:
            raise UserError(f"filter '{self.text}' selects none of the row's {count} columns")
        return chosen


def _position(index: int, count: int, what: str) -> int:
    if not -count <= index < count:
        raise UserError(f"index {index} is out of range: it has {count} {what}")
    return index % count


def _check_bounds(item: slice, count: int, what: str, *, last: int) -> None:
    """Raise UserError for a slice that reaches beyond the elements; `last`: the largest end it may have."""
    first = max(count - 1, 0)
    for bound, most in ((item.start, first), (item.stop, last)):
        if bound is not None and not -count <= bound <= most:
            hint = "; the end of a slice of columns is included" if bound == count == last + 1 else ""
            raise UserError(f"index {bound} is out of range: it has {count} {what}{hint}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")


class _Parser:
    """Recursive descent over at most 63 characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def steps(self) -> Iterator[_Step]:
        if not self.take("$"):
            raise self.error("a filter begins with '$'")
        while self.at < len(self.text):
            dot = self.take(".")
            if self.take("["):
                yield self.bracket()
            elif not dot:
                raise self.error("expected '.' or '['")
            elif self.take("*"):
                yield _Every()
            elif self.text.startswith(".", self.at):
                raise self.error("'..' is not supported")
            else:
                yield _Names((self.match(_NAME, "a name").group(),))

    def bracket(self) -> _Step:
        self.blanks()
        step: _Step
        if self.take("*"):
            self.blanks()
            step = _Every()
        elif self.text.startswith(("'", '"'), self.at):
            step = _Names(tuple(self.listed(self.quoted)))
        elif self.text.startswith("?", self.at):
            raise self.error("filter expressions are not supported")
        else:
            step = _Indexes(tuple(self.listed(self.index)))
        if not self.take("]"):
            raise self.error("expected ',' or ']'")
        return step

    def listed(self, item: Any) -> Iterator[Any]:
        while True:
            self.blanks()
            yield item()
            self.blanks()
            if not self.take(","):
                return

    def quoted(self) -> str:
        match = self.match(_QUOTED, "a quoted name")
        return re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2], flags=re.DOTALL)

    def index(self) -> int | slice:
        start = self.integer()
        self.blanks()
        if self.take(":"):
            self.blanks()
            return slice(start, self.integer())
        if start is None:
            raise self.error("expected an index, a slice, '*' or a quoted name")
        return start

    def integer(self) -> int | None:
        match = _INTEGER.match(self.text, self.at)
        if not match:
            return None
        self.at = match.end()
        return int(match.group())

    def match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = pattern.match(self.text, self.at)
        if not match:
            raise self.error(f"expected {what}")
        self.at = match.end()
        return match

    def take(self, token: str) -> bool:
        if not self.text.startswith(token, self.at):
            return False
        self.at += len(token)
        return True

    def blanks(self) -> None:
        while self.take(" "):
            pass

    def error(self, problem: str) -> UserError:
        place = f"{problem} at character {self.at + 1}"
        return UserError(f"filter '{self.text}' is not a JSONPath that batch transform knows: {place}")
