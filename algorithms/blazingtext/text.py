"""A channel's text: lines as they come, from plain files, JSON lines or an augmented manifest's records."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from algorithms.base import Source
from algorithms.blazingtext.vocabulary import LABEL
from algorithms.errors import UserError

log = logging.getLogger("optml")

PIECE = 1 << 18  # bytes of a block, about
LONGEST = 64 << 20  # bytes of a line that has to be taken as a whole
TOKEN = 1 << 20  # bytes of a token, which no word has
JSON_LINES = "application/jsonlines"


@dataclass(slots=True)
class Text:
    """The lines of a channel in blocks of bytes, each of whole lines that end in a line feed. A line that is
    longer than a block is cut between tokens, unless lines are `whole`."""

    source: Source
    whole: bool
    first: bytes = b""  # the first line that is not empty
    lines: int = 0  # handed out so far
    _warned: bool = False

    def blocks(self) -> Iterator[bytes]:
        """One pass. It ends early when the job is told to stop. Raises UserError for a channel without text,
        what is no text and JSON of another kind, naming the line."""
        for name, piece in self._pieces():
            if not self.first:
                self.first = next((line for line in piece.splitlines() if line.strip()), b"")[:500]
            self._check(piece, name)
            self.lines += piece.count(b"\n")
            yield piece
        if not self.first and not self.source.stopped():
            raise UserError(f"channel '{self.source.name}' is empty: there is no text in its data")

    def _pieces(self) -> Iterator[tuple[str, bytes]]:
        if self.source.wrapper == "RecordIO":
            for number, (text, label) in enumerate(self.source.examples(2), 1):
                where = f"example {number} of channel '{self.source.name}'"
                yield where, _line(text.decode("utf-8", "surrogateescape"), _parsed(label, where), where)
            return
        for name, stream in self.source.streams():
            rest = b""
            number = 0
            while (piece := stream.read(PIECE)) and not self.source.stopped():
                piece = rest + piece
                cut = piece.rfind(b"\n") + 1 or self._cut(piece, name)
                rest = piece[cut:]
                if cut:
                    yield name, self._plain(piece[:cut], name, number)
                    number += piece.count(b"\n", 0, cut)
            if rest.strip() and not self.source.stopped():
                yield name, self._plain(rest + b"\n", name, number)

    def _cut(self, piece: bytes, name: str) -> int:
        """Where to cut a block without a line end; 0: read on first."""
        if self.whole or self.source.media == JSON_LINES:
            if len(piece) > LONGEST:
                raise UserError(
                    f"{name} has a line of more than {LONGEST >> 20} MiB: one text a line is expected"
                )
            return 0
        cut = max(piece.rfind(space) for space in (b" ", b"\t", b"\r")) + 1
        if not cut and len(piece) > TOKEN:
            raise UserError(
                f"{name} has a token of more than {TOKEN >> 20} MiB: text is expected, parted by spaces"
            )
        return cut

    def _plain(self, piece: bytes, name: str, before: int) -> bytes:
        """JSON lines as lines of text; `before`: lines of this source that came before."""
        if self.source.media != JSON_LINES:
            return piece
        out = []
        for number, line in enumerate(piece.splitlines(), before + 1):
            if line.strip():
                where = f"line {number} of {name}"
                document = _parsed(line, where)
                if not isinstance(document, dict) or not isinstance(document.get("source"), str):
                    raise UserError(
                        f'{where} must be an object such as {{"source": "the text", "label": 1}}, '
                        f"not {line[:60].decode('utf-8', 'replace')}"
                    )
                out.append(_line(document["source"], document.get("label", []), where))
        return b"".join(out)

    def _check(self, piece: bytes, name: str) -> None:
        if self._warned:
            return
        try:
            piece.decode()
        except UnicodeDecodeError as error:
            self._warned = True
            line = self.lines + piece.count(b"\n", 0, error.start) + 1
            log.warning(
                "Line %d of channel '%s' (%s) is not UTF-8: its bytes, and those of such lines that follow, "
                "are taken as they are",
                line, self.source.name, name,
            )  # fmt: skip


def _parsed(text: bytes, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{where} is no JSON: {error}") from None


def _line(text: str, labels: Any, where: str) -> bytes:
    """A line as in a plain file: the prefix is added to labels that lack it."""
    given = labels if isinstance(labels, list) else [labels]
    parts = []
    for label in given:
        if isinstance(label, bool) or not isinstance(label, (int, str)) or not str(label).strip():
            raise UserError(
                f"{where} has the label {json.dumps(label)[:60]}; expected a number or a list of numbers"
            )
        name = "_".join(str(label).split())
        parts.append(name if name.startswith(LABEL.decode()) else f"{LABEL.decode()}{name}")
    return " ".join([*parts, *text.split()]).encode("utf-8", "surrogateescape") + b"\n"
