"""CSV (`text/csv`) as SageMaker's built-ins read it: numbers, no header, labels in the first columns.

Dialect: UTF-8 unless `encoding=` or `charset=` says otherwise, a byte order mark dropped; comma, or where
the first line has none, tab, semicolon, bar or blanks; LF, CRLF or CR; quotes allowed; blank lines skipped;
blanks around a number stripped; an empty cell is NaN, and so is a word for a missing value (`cells.MISSING`),
for the check of finite values to name. With header=present the columns go by their names, also where a file
consists of several, each with its header, as a Pipe does.

Small texts are parsed as JSON numbers, large ones by compiled code, or by pyarrow while there is none. What
those refuse is read again in small pieces, and of these the odd ones by `Reader._exact`, a cell at a time: it
alone knows the whole dialect, and it tells what is wrong and where. So whatever a text holds, its cells are
in memory a piece at a time. All four round to float64 and then to float32: a result does not depend on who
read it. Rows are numbered as an editor shows them: header and blank lines count.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

import numpy as np

from optml import cpus
from optml.errors import UserError
from optml.formats import csv_reader
from optml.formats.blocks import BLOCK_BYTES, REQUEST_BYTES, lines
from optml.formats.content_type import ContentType
from optml.formats.csv_reader import Reader
from optml.formats.encoding import as_utf8, stream_as_utf8
from optml.formats.layout import Layout
from optml.formats.records import Records, gathered

_LONG = 64 << 20  # bytes of a file from which it pays to compile code, where no job did before
_PARSERS = 4  # texts parsed at once, at most: each takes memory, and few jobs read faster than that


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
    reader = Reader(content_type, layout, source)
    seen = 0
    pending: deque[Future[Records | None]] = deque()
    threads = min(cpus.count(), _PARSERS)
    building: Future[None] | None = None  # pyarrow parses meanwhile
    # Some texts are parsed while the next is read.
    with ThreadPoolExecutor(threads) as parsers, ThreadPoolExecutor(1) as builder:
        for text in lines(stream, block_bytes, source=source):
            seen += len(text)
            if not reader.compiled and len(text) > csv_reader.SMALL:
                from optml.formats import csv_cells

                reader.compiled = csv_cells.ready()
                if not reader.compiled and building is None and seen > _LONG:
                    building = builder.submit(csv_cells.build)
            for parser, prepared in reader.prepare(text):
                pending.append(parsers.submit(parser.parse, *prepared, threads=False))
            while len(pending) > threads and (records := pending.popleft().result()) is not None:
                yield records
        while pending:
            if (records := pending.popleft().result()) is not None:
                yield records


def blocks(
    body: bytes, content_type: ContentType, layout: Layout, *, source: str = "the request"
) -> Iterator[Records]:
    """Decode a request block by block; as `read`, on this thread. Raises UserError as well if it holds no
    row."""
    reader = Reader(content_type, layout, source)
    if len(body) <= REQUEST_BYTES:
        texts = iter([as_utf8(body, content_type, source)])
    else:
        from optml.formats import csv_cells

        reader.compiled = csv_cells.ready()
        stream = stream_as_utf8(io.BytesIO(body), content_type, source)
        texts = lines(stream, REQUEST_BYTES, source=source)
    empty = True
    for text in texts:
        if (records := reader.read(text)) is not None:
            empty = False
            yield records
    if empty:
        raise UserError(f"{source} holds no rows")


def decode(body: bytes, content_type: ContentType, layout: Layout, *, source: str = "the request") -> Records:
    """All that `blocks` yields."""
    return gathered(blocks(body, content_type, layout, source=source))


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
