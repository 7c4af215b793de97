"""Parquet (`application/x-parquet`): numeric columns in order, or one column of lists, labels first.

Numeric are integers, floats, booleans and decimals, texts that hold numbers, categories of any of these, and
a column of nulls; null is NaN.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from optml.errors import UserError
from optml.formats.blocks import BLOCK_BYTES
from optml.formats.cells import MISSING, number, shown
from optml.formats.compression import TooLarge
from optml.formats.layout import Layout
from optml.formats.records import Origin, Records, gathered
from optml.formats.vectors import float32

_REQUEST = 1 << 20  # bytes of a request's numbers at a time; decimals take nine times as much
_PIECE = 1 << 14  # texts that are Python's at a time


def read(
    stream: BinaryIO, layout: Layout, *, source: str, block_bytes: int = BLOCK_BYTES
) -> Iterator[Records]:
    """Decode a file block by block; a FIFO is read whole first, for Parquet ends with its table of contents.

    Raises UserError for damaged files, for columns that hold no numbers, and for a width that does not fit.
    """
    import pyarrow as pa
    from pyarrow import parquet

    whole = stream if stream.seekable() else io.BytesIO(stream.read())
    record = 1
    try:
        file = parquet.ParquetFile(whole)
        rows = max(1024, block_bytes // (4 * max(1, file.metadata.num_columns)))
        names = _columns(file.schema_arrow)
        order = layout.order(names, source)
        for batch in file.iter_batches(batch_size=rows, columns=names):
            if batch.num_rows:
                batch = batch if order is None else batch.select(order)
                block = _records(batch, layout, Origin(source, record))
                record += len(block)
                layout = replace(layout, width=block.width)
                yield block
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{source} cannot be read as Parquet: {reason}") from None


def decode(body: bytes, layout: Layout, *, source: str = "the request") -> Records:
    """All that `blocks` yields."""
    return gathered(blocks(body, layout, source=source))


def blocks(
    body: bytes, layout: Layout, *, source: str = "the request", max_bytes: int | None = None
) -> Iterator[Records]:
    """Decode a request, some rows at a time. Raises UserError as `read`, and if it holds no rows;
    TooLarge for more than `max_bytes` of float32: a few bytes can stand for any number of equal values."""
    if max_bytes is not None and 4 * _values(body) > max_bytes:
        raise TooLarge(f"{source} holds more than {max_bytes} bytes of numbers; split it into smaller ones")
    empty = True
    for records in read(io.BytesIO(body), layout, source=source, block_bytes=_REQUEST):
        empty = False
        yield records
    if empty:
        raise UserError(f"{source} holds no records")


def _values(body: bytes) -> int:
    """How many values a file says that it holds; 0 if it cannot be read, which `read` will say."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        about = parquet.read_metadata(io.BytesIO(body))
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        return sum(group.column(number).num_values for group in groups for number in range(group.num_columns))
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError):
        return 0


def _columns(schema: Any) -> list[str]:
    """All but those in which pandas and Dask keep the index of a frame."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in schema.names if name not in index]


def _records(batch: Any, layout: Layout, origin: Origin) -> Records:
    columns = []  # (n,) or (n, m) each
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        columns.append(_numbers(name, column, origin))
    table = np.column_stack(columns)
    labels = layout.labels_among(table.shape[1], origin.name(0))
    return Records(
        float32(np.ascontiguousarray(table[:, labels:])),
        table[:, :labels].copy() if labels else None,
        origins=((0, origin),),
    )


def _numbers(name: str, column: Any, origin: Origin) -> np.ndarray:
    """A column as float64, null as NaN; a column of equally long lists as (n, m)."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        sizes = column.value_lengths().to_numpy(zero_copy_only=False)
        uneven = np.flatnonzero(~(sizes == sizes[0]))
        if len(uneven):
            row = int(uneven[0])
            raise UserError(
                f"{origin.name(row)}: the list in column '{name}' differs in length from the others"
            )
        return _numbers(name, column.flatten(), origin).reshape(len(column), -1)
    if pa.types.is_dictionary(kind):  # how pandas writes categories
        return _numbers(name, column.dictionary_decode(), origin)
    if pa.types.is_null(kind):  # a column in which nothing is known
        return np.full(len(column), np.nan)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _parsed(name, column, origin)
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    ):
        raise UserError(
            f"{origin.source}: column '{name}' is of type {kind}; expected numbers or lists of them: write "
            "it as numbers, or leave it out"
        )
    numbers: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _parsed(name: str, column: Any, origin: Origin) -> np.ndarray:
    """(n,) float64 of texts that hold numbers, as the cells of a CSV."""
    import pyarrow as pa
    from pyarrow import compute

    plain = compute.utf8_trim_whitespace(column)
    known = compute.invert(compute.is_in(compute.utf8_lower(plain), pa.array(sorted(MISSING))))
    try:
        numbers: np.ndarray = (
            compute.if_else(known, plain, None).cast(pa.float64()).to_numpy(zero_copy_only=False)
        )
        return numbers
    except pa.ArrowInvalid:  # a word, or a number as Python alone reads it
        pass
    values = np.empty(len(column))
    for start in range(0, len(column), _PIECE):
        texts = column.slice(start, _PIECE).to_pylist()
        parsed = [np.nan if text is None else number(text) for text in texts]
        if None in parsed:
            place = parsed.index(None)
            raise UserError(
                f"{origin.name(start + place)} holds the text '{shown(texts[place])}' in column '{name}'; "
                "expected a number: encode the column as numbers, or leave it out"
            )
        values[start : start + len(parsed)] = parsed
    return values


def write(records: Records) -> bytes:
    """One file: float64 columns `label_0`, ..., then float32 columns `feature_0`, ..."""
    import pyarrow as pa
    from pyarrow import parquet

    columns: dict[str, np.ndarray] = {}
    if records.labels is not None:
        columns |= {f"label_{at}": column for at, column in enumerate(records.labels.T)}
    features = np.ascontiguousarray(records.dense().T)
    columns |= {f"feature_{at}": column for at, column in enumerate(features)}
    out = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), out)
    body: bytes = out.getvalue().to_pybytes()
    return body
