"""The forms of requests and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optml.formats.content_type import CSV, JSON, JSON_LINES, RECORDIO_PROTOBUF

REQUESTS = (CSV, JSON, JSON_LINES, RECORDIO_PROTOBUF)

ANSWERS = (JSON, JSON_LINES, RECORDIO_PROTOBUF, CSV)


@dataclass(frozen=True, slots=True)
class Response:
    """The shape of a tabular answer: the JSON wrapper and the order of its fields.

    csv_fields:    their order in a CSV row, where it is another.
    compact_lines: JSON lines without blanks, keys sorted, numbers of 15 significant digits, as AWS's SGD
                   family prints them; else as JSON.
    """

    wrapper: str = "predictions"
    fields: tuple[str, ...] = ()
    csv_fields: tuple[str, ...] = ()
    compact_lines: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer is part of, for an algorithm that writes some of its own."""

    batch: bool = False  # a batch transform job, which joins answers
    many: bool = False  # a server of many models


@dataclass(frozen=True, slots=True)
class Written:
    """An answer as an algorithm writes it, by records, so that a record without an answer can have its place.

    rows: one a record.   opening, between, closing: what stands around them; closing only where there is
    something before it.
    """

    rows: Sequence[bytes]
    opening: bytes = b""
    between: bytes = b"\n"
    closing: bytes = b""

    def __bytes__(self) -> bytes:
        return (
            self.opening + self.between.join(self.rows) + (self.closing if self.rows or self.opening else b"")
        )

    def with_others(self, others: Mapping[int, bytes]) -> Written:
        """The same with other rows in between, by their places in the result."""
        rows = iter(self.rows)
        total = range(len(self.rows) + len(others))
        return replace(self, rows=[others[place] if place in others else next(rows) for place in total])
