"""One text after another of the same CSV: the dialect is found in the first, and rows are read by the
quickest way that does (see `csv.py`)."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from optml.errors import UserError
from optml.formats import csv_advice, csv_lines
from optml.formats.blocks import count_lines, lines
from optml.formats.cells import SPELLINGS, number, shown
from optml.formats.column_order import ColumnOrder
from optml.formats.content_type import ContentType
from optml.formats.csv_header import Header, looks_like
from optml.formats.csv_lines import PIECE
from optml.formats.layout import Layout
from optml.formats.records import Origin, Records, concatenate
from optml.formats.vectors import float32

SMALL = 64 << 10  # bytes up to which pyarrow's own overhead and import are not worth it
_WIDE = 1 << 12  # columns up to which pyarrow's cost of each does not count

_Lines: TypeAlias = tuple[bytes, int, int]  # a text, the number of its first line, how many they are
_Parts: TypeAlias = tuple[np.ndarray, np.ndarray | None]  # features (n, d) float32, labels (n, l) float64


class Reader:
    """The state of reading one source."""

    def __init__(self, content_type: ContentType, layout: Layout, source: str) -> None:
        self._layout = layout.of(content_type)
        self._headed = content_type.choice("header", ("absent", "present")) == "present"
        self._header: Header | None = None
        self._known = self._layout.columns or ColumnOrder()
        self._order: list[int] | None = None  # of the columns, where it is not that of the file
        self._source = source
        self._line = 1  # number of the first line of the text at hand
        self._first = 1  # number of the first row
        self._delimiter = ""  # not known yet
        self._columns = 0
        self._labels = 0
        self._carriage_returns = False  # lines end in CR alone
        self.compiled = False  # read large texts by compiled code

    def read(self, text: bytes) -> Records | None:
        """The rows of some whole lines; None if there are none."""
        pieces = [reader.parse(*lines) for reader, lines in self.prepare(text)]
        tables = [records for records in pieces if records is not None]
        return concatenate(tables) if tables else None

    def prepare(self, text: bytes) -> Iterator[tuple[Reader, _Lines]]:
        """What one text after another has to go through in order: the plain lines to parse, the number of the
        first, how many they are, and who parses them, on any thread."""
        if self._line == 1:
            self._carriage_returns = b"\r" in text and b"\n" not in text
        if self._carriage_returns:
            text = text.replace(b"\r", b"\n")
        if not self._columns:
            text = self._start(text)
            if not self._columns:
                return
        start = 0
        for stop, end, names in self._header.repeated(text, self._delimiter) if self._header else ():
            if stop > start:
                yield self._prepared(text[start:stop])
            self._use(names, self._where(self._line))
            self._line += count_lines(text[stop:end])
            start = end
        if start < len(text):
            yield self._prepared(text[start:])

    def _prepared(self, text: bytes) -> tuple[Reader, _Lines]:
        if self._delimiter == " ":
            text = re.sub(rb"(?m)^ +| +(?=\r?$)", b"", re.sub(rb" {2,}", b" ", text))
        line, count = self._line, count_lines(text)
        self._line += count
        return copy.copy(self), (text, line, count)

    def _use(self, names: Sequence[str], where: str) -> None:
        """Take the columns of the rows to come by their names."""
        self._order = self._known.order(names, where)

    def parse(self, text: bytes, number: int, count: int, threads: bool = True) -> Records | None:
        """The rows of prepared lines, on any thread; `threads`: pyarrow may use more of its own."""
        text = csv_lines.unquoted(text, self._delimiter)
        if len(text) <= SMALL:
            return self._piece(text, number, count)
        parts = self._compiled(text, count) if self.compiled else None
        parts = self._large(text, threads) if parts is None else parts
        if parts is not None and (records := self._numbered(parts, text, number, count)) is not None:
            return records
        pieces = []
        for piece in lines(io.BytesIO(text), PIECE, source=self._source):
            count = count_lines(piece)
            if (records := self._piece(piece, number, count)) is not None:
                pieces.append(records)
            number += count
        return concatenate(pieces) if pieces else None

    def _piece(self, text: bytes, number: int, count: int) -> Records | None:
        """The rows of a few lines, in the quick way or in the exact one."""
        parts = self._small(text)
        if parts is not None and (records := self._numbered(parts, text, number, count)) is not None:
            return records
        parts, numbers = self._exact(text, number)
        return Records(*parts, origins=((0, Origin.of(self._source, numbers, "row")),)) if numbers else None

    def _numbered(self, parts: _Parts, text: bytes, number: int, count: int) -> Records | None:
        """The rows with their numbers; None if they are not as many as the lines that are not blank."""
        numbers: Sequence[int] = range(number, number + count)
        if len(parts[0]) != count:
            numbers = [number + at for at, line in enumerate(text.splitlines()) if line.strip()]
        if not numbers or len(parts[0]) != len(numbers):
            return None
        return Records(*parts, origins=((0, Origin.of(self._source, numbers, "row")),))

    def _start(self, text: bytes) -> bytes:
        """Find the dialect in the first lines; returns the text without its header."""
        blank = text.rfind(b"\n", 0, len(text) - len(text.lstrip())) + 1
        self._line += count_lines(text[:blank])
        head = text[blank:]
        line = head.split(b"\n", 1)[0]
        if not line.strip():
            self._line += 1 if head else 0
            return b""
        where = self._where(self._line)
        self._delimiter = csv_lines.delimiter_of(line)
        again = next(self._header.repeated(head, self._delimiter), None) if self._header else None
        if again is not None and again[0] == 0:  # a part without rows
            self._use(again[2], where)
            self._line += count_lines(head[: again[1]])
            return self._start(head[again[1] :])
        if self._headed and self._header is None:
            self._header = Header.read(head, self._delimiter, where)
            if self._header.names:
                self._use(self._header.names, self._source)
            self._line += count_lines(self._header.lines)
            return self._start(head[len(self._header.lines) :])
        columns = csv_lines.count(line, self._delimiter, where)
        if len(line) > PIECE:  # then a wrong number of them is told before they are looked at
            self._layout.labels_among(columns, where)
        if line.translate(None, csv_lines.PLAIN):
            self._refuse_header(self._first_cells(line, self._line), head[len(line) + 1 :], where)
        if self._header and self._header.names and len(self._header.names) != columns:
            names = len(self._header.names)
            raise UserError(f"the header of {self._source} names {names} columns, but {where} has {columns}")
        self._labels = self._layout.labels_among(columns, where)
        self._columns = columns
        self._first = self._line
        return head

    def _first_cells(self, line: bytes, row: int) -> list[str]:
        """The cells of a line, of a long one some of them."""
        first = next(
            csv_lines.segments(csv_lines.collapsed(line, self._delimiter), self._delimiter, self._where(row))
        )
        return csv_lines.cells_of(first, self._delimiter, row, self._source)

    def _refuse_header(self, cells: list[str], rest: bytes, where: str) -> None:
        line = rest.lstrip().split(b"\n", 1)[0].decode(errors="replace").encode()
        if line and looks_like(cells, self._first_cells(line, self._line + 1)):
            word = next(cell for cell in cells if number(cell) is None)
            raise UserError(
                f"{where} holds the text '{shown(word)}' and looks like a header; SageMaker CSV "
                "has none: remove it or add header=present to the content type"
            )

    def _small(self, text: bytes) -> _Parts | None:
        """The rows by way of JSON or of `float`; None if that does not do."""
        rows = [line for line in text.splitlines() if line and not line.isspace()]
        try:
            if len(text) > 2 * PIECE:
                return self._long(rows)
            return self._divided(csv_lines.numbers(rows, self._delimiter))
        except ValueError:
            return None

    def _long(self, rows: list[bytes]) -> _Parts | None:
        """The rows as `_small`, some cells of each at a time."""
        if self._order is not None or any(
            csv_lines.count(row, self._delimiter, self._source) != self._columns for row in rows
        ):
            return None
        features = np.empty((len(rows), self._columns - self._labels), np.float32)
        labels = np.empty((len(rows), self._labels))
        for place, row in enumerate(rows):
            column = -self._labels
            for segment in csv_lines.segments(row, self._delimiter, self._source):
                numbers = csv_lines.numbers([segment], self._delimiter)[0]
                if column < 0:
                    first = min(-column, len(numbers))
                    labels[place, self._labels + column :][:first] = numbers[:first]
                    numbers, column = numbers[first:], column + first
                features[place, max(column, 0) :][: len(numbers)] = float32(numbers)
                column += len(numbers)
        return features, labels if self._labels else None

    def _divided(self, table: np.ndarray) -> _Parts | None:
        """Features and labels of (rows, columns) float64; None if it has other columns than the first row."""
        if table.ndim != 2 or table.shape[1] != self._columns:
            return None
        if self._order is not None:
            table = table[:, self._order]
        features = float32(np.ascontiguousarray(table[:, self._labels :]))
        return features, table[:, : self._labels].copy() if self._labels else None

    def _compiled(self, text: bytes, count: int) -> _Parts | None:
        """The rows by compiled code; None if they are not all plain numbers, in the order of the table."""
        if self._order is not None:
            return None
        from optml.formats import csv_cells

        arrays = csv_cells.parse(text, self._delimiter, count, self._columns, self._labels)
        return arrays and (arrays[0], arrays[1] if self._labels else None)

    def _large(self, text: bytes, threads: bool) -> _Parts | None:
        """The rows by pyarrow; None if it cannot make sense of them."""
        if self._columns > _WIDE:
            return None
        import pyarrow as pa
        from pyarrow import csv as pyarrow_csv

        names = [str(column) for column in range(self._columns)]
        try:
            table = pyarrow_csv.read_csv(
                pa.BufferReader(text),
                read_options=pyarrow_csv.ReadOptions(
                    column_names=names, block_size=max(1 << 20, 4096 * self._columns), use_threads=threads
                ),
                parse_options=pyarrow_csv.ParseOptions(delimiter=self._delimiter),
                convert_options=pyarrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.float64()), null_values=SPELLINGS
                ),
            )
        except pa.ArrowInvalid:
            return None
        if self._order is not None:
            table = table.select(self._order)
        features = np.empty((table.num_rows, self._columns - self._labels), np.float32)
        labels = np.empty((table.num_rows, self._labels))
        row = 0
        for batch in table.to_batches():
            rows = slice(row, row + batch.num_rows)
            numbers = batch.to_tensor(null_to_nan=True).to_numpy()
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                features[rows] = numbers[:, self._labels :]
            labels[rows] = numbers[:, : self._labels]
            row = rows.stop
        return features, labels if self._labels else None

    def _exact(self, text: bytes, first: int) -> tuple[_Parts, list[int]]:
        """The rows a cell at a time, and their numbers. Raises UserError for the first that is wrong."""
        rows = []
        numbers = []
        texts = text.splitlines()
        for row, line in enumerate(texts, first):
            if not line or line.isspace():
                continue
            count = csv_lines.count(line, self._delimiter, self._where(row))
            if count != self._columns:
                raise self._ragged(count, row, line, texts[row - first + 1 :])
            values = self._values(line, row)
            if len(values) != self._columns:  # quotes within quotes
                raise self._ragged(len(values), row, line, ())
            rows.append(values)
            numbers.append(row)
        parts = self._divided(np.array(rows, np.float64).reshape(len(rows), self._columns))
        assert parts is not None
        return parts, numbers

    def _values(self, line: bytes, row: int) -> list[float | None]:
        """The numbers of a line, of which not all cells are in memory at once. Raises UserError for the first
        cell that holds none."""
        values: list[float | None] = []
        for segment in csv_lines.segments(line, self._delimiter, self._where(row)):
            cells = csv_lines.cells_of(segment, self._delimiter, row, self._source)
            values += map(number, cells)
            if None in values:
                place = values.index(None)
                word = cells[place - len(values)]
                advice = csv_advice.of_word(word, segment.decode(errors="replace"), self._delimiter)
                raise UserError(
                    f"{self._where(row)} holds the text '{shown(word)}' in column {place + 1}; {advice}"
                )
        return values

    def _where(self, row: int) -> str:
        return f"row {row} of {self._source}"

    def _ragged(self, columns: int, row: int, line: bytes, following: Sequence[bytes]) -> UserError:
        """The error for a row that has other columns than the first: which of the two is the odd one is told
        by those that follow."""
        layout, where = self._layout, self._where(row)
        if layout.width is not None and self._columns == layout.width + (layout.label_size or 0):
            return layout.mismatch(columns, where)
        same = 1
        for other in following[: row - self._first]:
            if len(other) > PIECE or csv_lines.count(other, self._delimiter, where) != columns:
                break
            same += 1
        if same > row - self._first:
            return UserError(
                f"{self._where(self._first)} has {self._columns} values but {where} and those after it have "
                f"{columns}"
            )
        hint = csv_advice.of_length(line[:PIECE].decode(errors="replace"), self._delimiter, self._columns)
        return UserError(f"{where} has {columns} values but the rows before it have {self._columns}{hint}")
