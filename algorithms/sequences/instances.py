"""Requests of instances: `{"instances": [...]}`, or JSON lines of one instance each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from optml.errors import UserError, shown
from optml.formats.content_type import JSON, ContentType
from optml.formats.documents import each_line, listed, parse, runs

TOGETHER = 1 << 14  # instances that are objects of Python at once
MARK = b"\xef\xbb\xbf"


def read(body: bytes, form: ContentType, example: str) -> Iterator[tuple[int, list[Any]]]:
    """The instances, some at a time, and the number of the first of these, counted from 1.

    example: an instance, for messages. Raises UserError for what is no such request.
    """
    first = 1
    for run in _whole(body, example) if form.media == JSON else _lines(body):
        yield first, run
        first += len(run)
    if first == 1 and form.media != JSON:
        raise UserError(f"the request holds no lines; expected one such as {example}")


def name(form: ContentType, number: int) -> str:
    """What to call an instance in a message."""
    return f"{'instance' if form.media == JSON else 'line'} {number} of the request"


def _whole(body: bytes, example: str) -> Iterator[list[Any]]:
    document = parse(body, "the request")
    instances = listed(document, "instances")
    if instances is None:
        what = (
            f"has the keys {', '.join(map(shown, document))}"
            if isinstance(document, dict) and document
            else "has none"
        )
        raise UserError(
            f'the request must be an object with a list "instances", but {what}; send '
            f'{{"instances": [{example}]}}'
        )
    yield from runs(instances)


def _lines(body: bytes) -> Iterator[list[Any]]:
    found = each_line(
        body.removeprefix(MARK), lambda text, number: parse(text, f"line {number} of the request")
    )
    while run := [instance for _, instance in islice(found, TOGETHER)]:
        yield run
