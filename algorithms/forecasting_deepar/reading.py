"""The files of a channel as series: JSON lines and Parquet."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, cast

import numpy as np

from optml.algorithms.forecasting_deepar.builder import FIELDS, ONE_A_LINE, Builder, misnamed
from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters
from optml.algorithms.forecasting_deepar.series import Series, statistics
from optml.algorithms.sources import Source
from optml.errors import UserError
from optml.formats.blocks import numbered
from optml.formats.compression import Unread
from optml.formats.content_type import JSON_LINES, ContentType
from optml.formats.documents import parse
from optml.formats.encoding import stream_as_utf8

log = logging.getLogger(__name__)

PIECE = 1 << 20  # bytes read at a time
LONGEST = 1 << 30  # bytes of a line
ENDINGS = (".json", ".jsonl", ".jsonlines", ".json.gz", ".jsonl.gz", ".gz", ".parquet")
PARQUET = b"PAR1"


def read(source: Source, parameters: Hyperparameters) -> Series:
    """All series of a channel. Says in the log what AWS's image says of them; ends early when the job is told
    to stop. Raises UserError that names the file and the record that is wrong."""
    builder = Builder(
        parameters.frequency,
        cats=_wanted(parameters.cardinality),
        dynamics=_wanted(parameters.num_dynamic_feat),
        cardinality=parameters.cardinality if isinstance(parameters.cardinality, tuple) else None,
        horizon=parameters.prediction_length,
        ignored=_ignored(parameters),
    )
    skipped = []
    for name, stream in source.streams():
        head = stream.read(PIECE)
        if (
            not name.lower().endswith(ENDINGS)
            and head[:4] != PARQUET
            and head.lstrip()[:1] not in (b"{", b"[")
        ):
            skipped.append(name)
            continue
        stream = cast(BinaryIO, Unread(head, stream))
        parquet = head[:4] == PARQUET
        records = _rows(name, stream, builder.ignored) if parquet else _lines(name, stream)
        for content, place in records:
            if source.stopped():
                return builder.series()
            first = not len(builder)
            builder.add(content, place)
            if first:
                _announce(builder, parameters, name)
    if skipped:
        kinds = ", ".join(ENDINGS)
        log.warning("Skipping %s: no series; files of such end in %s", ", ".join(skipped[:5]), kinds)
    if builder.rounded:
        log.warning(
            "%d of %d starts in channel '%s' were rounded down to time_freq=%s",
            builder.rounded, len(builder), source.name, parameters.time_freq,
        )  # fmt: skip
    if not len(builder) and skipped:
        raise UserError(f"channel '{source.name}' has no file that ends in {', '.join(ENDINGS)}")
    return builder.series()


def describe(series: Series, title: str) -> None:
    log.info("%s set statistics:", title)
    for line in statistics(series):
        log.info("%s", line)


def record(line: bytes, where: str) -> Any:
    """The record of a line. Raises UserError, which also tells of one that goes on in the next line."""
    try:
        return parse(line, where)
    except UserError as error:
        if line.strip()[:1] not in (b"[", b"{"):
            raise
        raise UserError(f"{error}; {ONE_A_LINE}") from None


def _wanted(setting: object) -> int | None:
    """How many there must be in each record; None: as the first record has it."""
    if setting == "auto":
        return None
    if isinstance(setting, tuple):
        return len(setting)
    return setting if isinstance(setting, int) else 0


def _ignored(parameters: Hyperparameters) -> list[str]:
    wanted = {"cat": parameters.cardinality, "dynamic_feat": parameters.num_dynamic_feat}
    return [field for field, setting in wanted.items() if _wanted(setting) == 0]


def _announce(builder: Builder, parameters: Hyperparameters, name: str) -> None:
    for hyperparameter, field, count in (
        ("cardinality", "cat", builder.cats),
        ("num_dynamic_feat", "dynamic_feat", builder.dynamics),
    ):
        if getattr(parameters, hyperparameter) == "auto":
            past, future = ("was", "will") if count else ("was NOT", "will NOT")
            log.info(
                "[%s=auto] `%s` field %s found in the file `%s` and %s be used for training.",
                hyperparameter, field, past, name, future,
            )  # fmt: skip


def _lines(name: str, stream: BinaryIO) -> Iterator[tuple[Any, Any]]:
    """Pairs (record, function that says where it stands)."""
    text = stream_as_utf8(stream, ContentType(JSON_LINES), name)
    for number, line in numbered(text, PIECE, source=name, longest=LONGEST):

        def where(number: int = number) -> str:
            return f"line {number} of {name}"

        yield record(line, where()), where


def _rows(name: str, stream: BinaryIO, ignored: Collection[str]) -> Iterator[tuple[Any, Any]]:
    """The rows of a Parquet file, which ends with its table of contents: it is read whole."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(io.BytesIO(stream.read()))
        columns = [column for column in file.schema_arrow.names if column in FIELDS]
        slip = misnamed(file.schema_arrow.names, ignored)
        if slip:
            raise UserError(f"{name}: the column {slip}")
        for column in ("start", "target"):
            if column not in columns:
                raise UserError(
                    f"{name} has no column '{column}'; it has {', '.join(file.schema_arrow.names)}"
                )
        number = 0
        for batch in file.iter_batches(batch_size=256, columns=columns):
            table = {column: batch.column(column) for column in columns}
            for row in range(batch.num_rows):
                number += 1

                def where(number: int = number) -> str:
                    return f"row {number} of {name}"

                yield {column: _plain(values[row]) for column, values in table.items()}, where
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = str(error).split("\n", 1)[0]
        raise UserError(f"{name} cannot be read as Parquet: {reason}") from None


def _plain(scalar: Any) -> Any:
    """A cell as JSON would give it; lists of numbers as arrays, null as NaN."""
    import pyarrow as pa

    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(kind):
        return np.datetime64(scalar.cast(pa.timestamp("us")).value, "us") if kind.tz is None else str(scalar)
    if pa.types.is_date(kind):
        return np.datetime64(scalar.as_py())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if pa.types.is_floating(kind.value_type):
            values: np.ndarray = scalar.values.cast(pa.float64()).to_numpy(zero_copy_only=False)
            return values
        return [_plain(value) for value in scalar.values]
    return scalar.as_py()
