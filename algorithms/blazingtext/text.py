"""A channel's text: lines as they come, from plain files, JSON lines or an augmented manifest's records."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from optml.algorithms.blazingtext import manifest
from optml.algorithms.sources import Source
from optml.errors import UserError
from optml.formats.content_type import JSON_LINES, RECORDIO

log = logging.getLogger(__name__)

PIECE = 1 << 18  # bytes of a block, about
LONGEST = 64 << 20  # bytes of a line that has to be taken as a whole
TOKEN = 1 << 20  # bytes of a token, which no word has
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
                self.first = next((line for line in piece.split(b"\n") if line.strip()), b"")[:500]
            self._check(piece, name)
            self.lines += piece.count(b"\n")
            yield piece
        if not self.first and not self.source.stopped():
            raise UserError(f"channel '{self.source.name}' is empty: there is no text in its data")

    def _pieces(self) -> Iterator[tuple[str, bytes]]:
        if self.source.wrapper == "RecordIO":
            for number, (text, label) in enumerate(self.source.examples(2), 1):
                where = f"example {number} of channel '{self.source.name}'"
                yield where, manifest.line_of_records(text, label, where)
            return
        for name, stream in self.source.streams():
            rest = b""
            number = 0
            returns = None  # does a carriage return alone end the lines of this source?
            while (piece := stream.read(PIECE)) and not self.source.stopped():
                if returns is None:
                    piece = self._opened(piece, name)
                    returns = b"\r" in piece and b"\n" not in piece
                    if returns:
                        log.warning("%s has carriage returns and no line feeds: they end its lines", name)
                piece = rest + (piece.replace(b"\r", b"\n") if returns else piece)
                cut = piece.rfind(b"\n") + 1 or self._cut(piece, name)
                rest = piece[cut:]
                if cut:
                    yield name, self._plain(piece[:cut], name, number)
                    number += piece.count(b"\n", 0, cut)
            if rest.strip() and not self.source.stopped():
                yield name, self._plain(rest + b"\n", name, number)

    def _opened(self, piece: bytes, name: str) -> bytes:
        """The beginning of a source without its byte order mark. Raises UserError for what is no text."""
        if self.source.media == RECORDIO:
            start = piece[: manifest.SHOWN].decode("utf-8", "replace")
            raise UserError(
                f"{name} is not wrapped and begins with {start!r}: content type {RECORDIO} is that of an "
                f"augmented manifest in Pipe mode; {manifest.EXPECTED}"
            )
        if piece.startswith(UTF16):
            raise UserError(f"{name} is UTF-16; save it as UTF-8")
        return piece.removeprefix(codecs.BOM_UTF8)

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
        for number, line in enumerate(piece.split(b"\n"), before + 1):
            if line.strip():
                out.append(manifest.line_of_object(line, f"line {number} of {name}"))
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
