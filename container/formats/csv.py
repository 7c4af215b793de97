"""CSV (`text/csv`) as SageMaker's built-ins read it: numbers, no header, labels in the first columns.

Dialect: UTF-8 unless `encoding=` or `charset=` says otherwise, a byte order mark dropped; comma, or where
the first line has none, tab, semicolon, bar or blanks; LF, CRLF or CR; quotes allowed; blank lines skipped;
blanks around a number stripped; an empty cell is NaN, for the check of finite values to name.

Small texts are parsed as JSON numbers, large ones by compiled code, or by pyarrow while there is none. What
those refuse is read again by `_exact`, a cell at a time: it alone knows the whole dialect, and it tells what
is wrong and where. All four round to float64 and then to float32, so a result does not depend on who read it.
Rows are numbered as an editor shows them: header and blank lines count.
"""

from __future__ import annotations

import csv
import math
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, TypeAlias

import numpy as np
import orjson

from algorithms.errors import UserError
from algorithms.records import Origin, Records
from container import cpus
from container.formats.blocks import BLOCK_BYTES, count_lines, lines
from container.formats.content_type import ContentType
from container.formats.encoding import as_utf8, stream_as_utf8
from container.formats.layout import Layout
from container.formats.vectors import float32

_SMALL = 64 << 10  # bytes up to which pyarrow's own overhead and import are not worth it
_LONG = 64 << 20  # bytes of a file from which it pays to compile code, where no job did before
_PLAIN = b"0123456789+-.eE, \r\n"  # with these alone a line of numbers is a line of JSON numbers
_PARSERS = 4  # texts parsed at once, at most: each takes memory, and few jobs read faster than that
_DELIMITERS = (",", "\t", ";", "|", " ")

_Parts: TypeAlias = tuple[np.ndarray, np.ndarray | None]  # features (n, d) float32, labels (n, l) float64


class _Reader:
    """One text after another of the same source: the dialect is found in the first."""

    def __init__(self, content_type: ContentType, layout: Layout, source: str) -> None:
        self._layout = layout.of(content_type)
        self._header = content_type.choice("header", ("absent", "present")) == "present"
        self._source = source
        self._line = 1  # number of the first line of the text at hand
        self._delimiter = ""  # not known yet
        self._columns = 0
        self._labels = 0
        self._carriage_returns = False  # lines end in CR alone
        self.compiled = False  # read large texts by compiled code

    def read(self, text: bytes) -> Records | None:
        """The rows of some whole lines; None if there are none."""
        prepared = self.prepare(text)
        return prepared and self.parse(*prepared)

    def prepare(self, text: bytes) -> tuple[bytes, int, int] | None:
        """What one text after another has to go through in order: the plain lines to parse, the number of the
        first, and how many they are; None if there are none."""
        if self._line == 1:
            self._carriage_returns = b"\r" in text and b"\n" not in text
        if self._carriage_returns:
            text = text.replace(b"\r", b"\n")
        if not self._columns:
            text = self._start(text)
            if not self._columns:
                return None
        if self._delimiter == " ":
            text = re.sub(rb"(?m)^ +| +(?=\r?$)", b"", re.sub(rb" {2,}", b" ", text))
        number, count = self._line, count_lines(text)
        self._line += count
        return text, number, count

    def parse(self, text: bytes, number: int, count: int, threads: bool = True) -> Records | None:
        """The rows of prepared lines, on any thread; `threads`: pyarrow may use more of its own."""
        if len(text) <= _SMALL:
            parts = self._small(text)
        else:
            parts = self._compiled(text, count) if self.compiled else None
            parts = self._large(text, threads) if parts is None else parts
        numbers: list[int] | None = None
        if parts is not None and len(parts[0]) != count:
            numbers = [number + at for at, line in enumerate(text.splitlines()) if line.strip()]
        if parts is None or (numbers is not None and len(parts[0]) != len(numbers)):
            parts, numbers = self._exact(text, number)
        if not len(parts[0]):
            return None
        return Records(*parts, origins=_runs(numbers or [number], self._source))

    def _start(self, text: bytes) -> bytes:
        """Find the dialect in the first lines; returns the text without its header."""
        head = text
        while head and not (line := head.split(b"\n", 1)[0]).strip():
            head = head[len(line) + 1 :]
            self._line += 1
        if not head:
            return b""
        where = f"row {self._line} of {self._source}"
        self._delimiter = _delimiter(line)
        if self._header:
            self._header = False
            self._line += 1
            return self._start(head[len(line) + 1 :])
        cells = _cells(_collapsed(_decoded(line, where), self._delimiter), self._delimiter, where)
        if line.translate(None, _PLAIN):
            self._refuse_header(cells, head[len(line) + 1 :], where)
        self._labels = self._layout.labels_among(len(cells), where)
        self._columns = len(cells)
        return head

    def _refuse_header(self, cells: list[str], rest: bytes, where: str) -> None:
        texts = [cell for cell in cells if _number(cell) is None]
        if not texts:
            return
        line = _collapsed(rest.lstrip().split(b"\n", 1)[0].decode(errors="replace"), self._delimiter)
        following = _cells(line, self._delimiter, where)
        if rest.strip() and all(_number(cell) is not None for cell in following):
            raise UserError(
                f"{where} holds the text '{_shown(texts[0])}' and looks like a header; SageMaker CSV "
                "has none: remove it or add header=present to the content type"
            )

    def _small(self, text: bytes) -> _Parts | None:
        """The rows by way of JSON or of `float`; None if that does not do."""
        if self._delimiter != ",":
            if b"," in text:
                return None
            text = text.replace(self._delimiter.encode(), b",")
        rows = [line for line in text.splitlines() if line and not line.isspace()]
        try:
            if text.translate(None, _PLAIN):  # nan, quotes, or something that float must not take either
                return None if b"_" in text else self._divided(_floats(rows))
            try:
                return self._divided(np.array(orjson.loads(b"[[" + b"],[".join(rows) + b"]]"), np.float64))
            except orjson.JSONDecodeError:  # such as .5 or +1
                return self._divided(_floats(rows))
        except ValueError:
            return None

    def _divided(self, table: np.ndarray) -> _Parts | None:
        """Features and labels of (rows, columns) float64; None if it has other columns than the first row."""
        if table.ndim != 2 or table.shape[1] != self._columns:
            return None
        features = float32(np.ascontiguousarray(table[:, self._labels :]))
        return features, table[:, : self._labels].copy() if self._labels else None

    def _compiled(self, text: bytes, count: int) -> _Parts | None:
        """The rows by compiled code; None if they are not all plain numbers."""
        from container.formats import csv_cells

        found = csv_cells.parse(text, self._delimiter, count, self._columns, self._labels)
        return found and (found[0], found[1] if self._labels else None)

    def _large(self, text: bytes, threads: bool) -> _Parts | None:
        """The rows by pyarrow; None if it cannot make sense of them."""
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
                    column_types=dict.fromkeys(names, pa.float64()), null_values=[""]
                ),
            )
        except pa.ArrowInvalid:
            return None
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

    def _exact(self, text: bytes, number: int) -> tuple[_Parts, list[int]]:
        """The rows a cell at a time, and their numbers. Raises UserError for the first that is wrong."""
        rows = []
        numbers = []
        for line in text.splitlines():
            where = f"row {number} of {self._source}"
            cells = _cells(_decoded(line, where), self._delimiter, where)
            if len(cells) > 1 or cells[0].strip():
                if len(cells) != self._columns:
                    raise self._ragged(len(cells), where)
                row = [_number(cell) for cell in cells]
                if None in row:
                    at = row.index(None)
                    raise UserError(
                        f"{where} holds the text '{_shown(cells[at])}' in column {at + 1}; expected a number"
                    )
                rows.append(row)
                numbers.append(number)
            number += 1
        parts = self._divided(np.array(rows, np.float64).reshape(len(rows), self._columns))
        assert parts is not None
        return parts, numbers

    def _ragged(self, columns: int, where: str) -> UserError:
        layout = self._layout
        if layout.width is not None and self._columns == layout.width + (layout.label_size or 0):
            return layout.mismatch(columns, where)
        return UserError(f"{where} has {columns} values but the rows before it have {self._columns}")


def read(
    stream: BinaryIO,
    content_type: ContentType,
    layout: Layout,
    *,
    source: str,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Records]:
    """Decode a training file or FIFO block by block.

    Raises UserError naming source and row: ragged rows, text where a number belongs, a header, a number of
    columns that does not fit `layout`.
    """
    stream = stream_as_utf8(stream, content_type, source)
    reader = _Reader(content_type, layout, source)
    seen = 0
    pending: deque[Future[Records | None]] = deque()
    threads = min(cpus.count(), _PARSERS)
    building: Future[None] | None = None  # pyarrow parses meanwhile
    # Some texts are parsed while the next is read.
    with ThreadPoolExecutor(threads) as parsers, ThreadPoolExecutor(1) as builder:
        for text in lines(stream, block_bytes, source=source):
            seen += len(text)
            if not reader.compiled and len(text) > _SMALL:
                from container.formats import csv_cells

                reader.compiled = csv_cells.ready()
                if not reader.compiled and building is None and seen > _LONG:
                    building = builder.submit(csv_cells.build)
            prepared = reader.prepare(text)
            if prepared:
                pending.append(parsers.submit(reader.parse, *prepared, threads=False))
            if len(pending) > threads and (records := pending.popleft().result()) is not None:
                yield records
        while pending:
            if (records := pending.popleft().result()) is not None:
                yield records


def decode(body: bytes, content_type: ContentType, layout: Layout, *, source: str = "the request") -> Records:
    """Decode a request; as `read`. Raises UserError as well if it holds no row."""
    records = _Reader(content_type, layout, source).read(as_utf8(body, content_type, source))
    if records is None:
        raise UserError(f"{source} holds no rows")
    return records


def _delimiter(line: bytes) -> str:
    """The first of the known delimiters that the line holds; a comma if it holds none."""
    line = line.strip(b" \r")
    return next((mark for mark in _DELIMITERS if mark.encode() in line), ",")


def _collapsed(line: str, delimiter: str) -> str:
    """Several blanks part two columns as one does."""
    return " ".join(line.split()) if delimiter == " " else line


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise UserError(
            f"{where} is no UTF-8 text; name its encoding in the content type: text/csv;encoding=..."
        ) from None


def _cells(line: str, delimiter: str, where: str) -> list[str]:
    if '"' not in line:
        return line.rstrip("\r").split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True), [""])
    except csv.Error as error:
        raise UserError(f"{where} cannot be parsed as CSV: {error}") from None


def _number(cell: str) -> float | None:
    """The number that a cell holds, NaN for an empty one, None for a text."""
    cell = cell.strip()
    if not cell:
        return math.nan
    if "_" in cell or not cell.isascii():  # Python's own liberties
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _floats(rows: list[bytes]) -> np.ndarray:
    """(rows, columns) float64 of lines of numbers with commas. Raises ValueError for anything else."""
    return np.array([[float(cell) for cell in row.split(b",")] for row in rows], np.float64)


def _shown(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 40 else text[:37] + "..."


def _runs(numbers: list[int], source: str) -> tuple[tuple[int, Origin], ...]:
    """Where rows of consecutive numbers begin; a single number stands for all rows from it on."""
    starts = [at for at, number in enumerate(numbers) if not at or number != numbers[at - 1] + 1]
    return tuple((at, Origin(source, numbers[at], "row")) for at in starts)


def write(records: Records) -> bytes:
    """Lines of labels, then features; each number in its shortest decimals that read back as the same."""
    import pyarrow as pa
    from pyarrow import csv as pyarrow_csv

    features = records.dense()
    columns = [] if records.labels is None else list(records.labels.T)
    columns += list(np.ascontiguousarray(features.T))
    names = [str(column) for column in range(len(columns))]
    out = pa.BufferOutputStream()
    pyarrow_csv.write_csv(
        pa.table(columns, names=names),
        out,
        pyarrow_csv.WriteOptions(include_header=False, quoting_style="none"),
    )
    text: bytes = out.getvalue().to_pybytes()
    return text
