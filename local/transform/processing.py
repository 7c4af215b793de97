"""Batch transform's DataProcessing: filter what goes in, join it with what comes out, filter the result.

The platform does this, never the container. Records are lines of CSV or JSON lines, or whole JSON documents.
CSV cells keep their text, quotes included, so that a join changes no digit.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from optml.errors import UserError
from optml.formats.content_type import CSV, JSON, JSON_LINES
from optml.local.transform.jsonpath import JSONPath
from optml.serving import lines

log = logging.getLogger(__name__)

MEDIA = (CSV, JSON, JSON_LINES)


@dataclass(frozen=True)
class Processing:
    """The filters and the join of one job; `media` is the format of what they are applied to."""

    input_filter: JSONPath
    output_filter: JSONPath
    join: bool
    content: str  # media type of the input
    accept: str  # media type of the answers
    header: bool = False  # the input begins with a line that is no record, and has no answer
    _columns: dict[tuple[str, str, int], list[int]] = field(default_factory=dict, repr=False)

    @property
    def filters_input(self) -> bool:
        return not self.input_filter.whole

    @property
    def changes_output(self) -> bool:
        return self.join or not self.output_filter.whole

    def outgoing(self, record: bytes) -> bytes:
        """What of a record (or of an object of several lines) is sent. Raises UserError."""
        records = [
            _print(self._filtered("input", self.input_filter, _parse(piece, self.content, "the record")))
            for piece in _pieces(record, self.content)
        ]
        return b"\n".join(records) + (b"" if self.content == JSON else b"\n")

    def incoming(self, original: bytes, response: bytes) -> bytes:
        """What of a response is written, joined with the records it answers; no line end at the end.

        Raises UserError if the response cannot be parsed, or answers another number of records.
        """
        answers = [_parse(piece, self.accept, "the response") for piece in _pieces(response, self.accept)]
        if self.join:
            pieces = _pieces(original, self.content)[1 if self.header else 0 :]
            inputs = [_parse(piece, self.content, "the record") for piece in pieces]
            if len(inputs) != len(answers):
                raise UserError(
                    f"a response holds {len(answers)} records but answers {len(inputs)}: they cannot be "
                    "joined; the strategy SingleRecord may help"
                )
            answers = [_joined(record, answer) for record, answer in zip(inputs, answers, strict=True)]
        return b"\n".join(_print(self._filtered("output", self.output_filter, each)) for each in answers)

    def _filtered(self, which: str, path: JSONPath, value: Any) -> Any:
        if path.whole:
            return value
        if not isinstance(value, _Row):
            return path.select(value)
        key = (which, path.text, len(value))
        if key not in self._columns:
            columns = path.columns(len(value))
            shown = ", ".join(str(column + 1) for column in columns)
            log.info("%s filter '%s' of %d columns takes number %s", which, path, len(value), shown)
            self._columns[key] = columns
        return _Row(value[column] for column in self._columns[key])


class _Row(list[str]):
    """The cells of a CSV row, as they are written."""


def cells(line: str) -> list[str]:
    """The cells of a CSV record, quotes and all; joined by commas they are the record again."""
    if '"' not in line:
        return line.split(",")
    texts: list[str] = []
    quoted = False  # the comma belongs to the cell
    for part in line.split(","):
        if quoted:
            texts[-1] += "," + part
        else:
            texts.append(part)
        if quoted or part.lstrip(" \t").startswith('"'):  # within a cell that begins without, quotes are text
            quoted ^= part.count('"') % 2 == 1
    return texts


def _pieces(body: bytes, media: str) -> list[bytes]:
    if media == JSON:
        return [body]
    return [record.rstrip(b"\r\n") for record in lines.records(BytesIO(body), media)]


def _parse(piece: bytes, media: str, what: str) -> Any:
    try:
        text = piece.decode()
        return _Row(cells(text)) if media == CSV else json.loads(text)
    except (ValueError, RecursionError) as error:
        kind = "CSV" if media == CSV else "JSON"
        if what == "the response":
            raise UserError(f"Failed to parse output from the algorithm as {kind}: {error}") from None
        raise UserError(f"{what} is not {kind}: {error}") from None


def _print(value: Any) -> bytes:
    if isinstance(value, _Row):
        return ",".join(value).encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _joined(record: Any, answer: Any) -> Any:
    if isinstance(record, _Row):
        return _Row([*record, *answer])
    if isinstance(record, dict):
        return {**record, "SageMakerOutput": answer}
    return {"SageMakerInput": record, "SageMakerOutput": answer}
