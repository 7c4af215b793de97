"""RecordIO-protobuf (`application/x-recordio-protobuf`) decoded into blocks of records.

Three readers, each for what the one before leaves over: equal-sized dense records are one strided view
(`record_layout.py`), sparse and irregular ones are parsed by compiled code (`record_wire.py`), and what is
rare, or damaged, goes through the protobuf library (`record_message.py`). All three agree on every value.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import BinaryIO, NamedTuple

import numpy as np

from optml.errors import UserError
from optml.formats.blocks import BLOCK_BYTES
from optml.formats.layout import Layout
from optml.formats.record_encoding import encode, encode_columns
from optml.formats.record_layout import RecordLayout
from optml.formats.record_message import Record, Value, parse, tensor
from optml.formats.recordio import MAGIC_BYTES, Frames
from optml.formats.records import Origin, Records, gathered
from optml.formats.vectors import Vector, compressed_rows, float32, float64, stack, vector

log = logging.getLogger(__name__)

__all__ = ["decode", "encode", "encode_columns", "read"]

_FEW = 64  # irregular records up to which importing numba (0.4 s) is not worth it
_RUN = 1 << 16  # records that the compiled parser takes at a time
_MESSAGES = (
    1 << 11
)  # records that the protobuf library takes at a time: each costs 20 times its bytes till then


def read(
    stream: BinaryIO, layout: Layout, *, source: str, block_bytes: int = BLOCK_BYTES
) -> Iterator[Records]:
    """Decode a training file or FIFO block by block, in memory of a few blocks.

    Where some records have a label and others do not, theirs is NaN (None in blocks before the first label).
    Raises UserError, naming source and record, for damaged or truncated data, for a record without features
    `values`, and for one whose width is not `layout.width` (None: that of the first record).
    """
    yield from _decode(Frames(stream, source=source, block_bytes=block_bytes), layout, inference=False)


def decode(body: bytes, layout: Layout, *, source: str = "the request") -> Records:
    """All that `blocks` yields."""
    return gathered(blocks(body, layout, source=source))


def blocks(body: bytes, layout: Layout, *, source: str = "the request") -> Iterator[Records]:
    """Decode a request, some records at a time.

    As `read`, and besides a single Record without framing, and records that have no features but one label
    entry (the answer of another algorithm in an inference pipeline).
    """
    if body and body[:4] != MAGIC_BYTES:
        yield _unframed(body, layout, source)
        return
    empty = True
    for records in _decode(Frames(None, data=body, source=source), layout, inference=True):
        empty = False
        yield records
    if empty:
        raise UserError(f"{source} holds no records")


def _unframed(body: bytes, layout: Layout, source: str) -> Records:
    where = f"record 1 of {source}"
    try:
        record = parse(body, where)
    except UserError:
        record = None
    if record is None or not (record.features or record.label):
        raise UserError(
            f"{source} is no RecordIO-protobuf: it begins neither with the magic number 0a 23 d7 ce "
            "nor is it a single Record message"
        )
    return _stacked([_row(record, where, inference=True)], layout, lambda _: where, Origin(source))


def _decode(frames: Frames, layout: Layout, *, inference: bool) -> Iterator[Records]:
    label_size: int | None = None
    while frames.fill():
        for block in _blocks(frames, layout, inference=inference):
            layout = replace(layout, width=block.width)
            if block.labels is not None:
                if label_size not in (None, block.labels.shape[1]):
                    raise _uneven_labels(block.labels.shape[1], label_size, block.where(0))
                label_size = block.labels.shape[1]
            elif label_size == 1:  # as within a block: NaN, for whoever needs labels to name
                block = replace(block, labels=np.full((len(block), 1), np.nan))
            yield block


def _blocks(frames: Frames, layout: Layout, *, inference: bool) -> Iterator[Records]:
    """The whole records in memory, passed on the way."""
    origin = Origin(frames.source, frames.record)
    regular = RecordLayout.of(frames.data, frames.at)
    if regular is not None and (frames.ended or len(frames.data) - frames.at >= regular.stride):
        if regular.features.dtype != np.float32 and not inference:
            _say_converted()
        layout.check(regular.width, origin.name(0))
        rows = regular.frames(frames.data, frames.at)
        features, labels = regular.decode(rows)
        frames.advance(min(rows.size, len(frames.data) - frames.at), len(rows))
        keep = labels is not None and layout.label_size != 0
        yield Records(features, labels if keep else None, origins=((0, origin),))
        layout = replace(layout, width=features.shape[1])
    while True:  # the rest of the block: what comes after the first difference
        payloads: list[bytes] = []
        before = frames.at, frames.record
        while len(payloads) < _FEW and (payload := frames.take()) is not None:
            payloads.append(payload)
        if not payloads:
            return
        if len(payloads) < _FEW:
            yield _by_library(payloads, layout, Origin(frames.source, before[1]), inference=inference)
            return
        frames.at, frames.record = before
        for block in _compiled(frames, layout, inference=inference):
            layout = replace(layout, width=block.width)
            yield block


def _compiled(frames: Frames, layout: Layout, *, inference: bool) -> Iterator[Records]:
    """Whole frames from the current one on, until one is damaged, or none is left."""
    from optml.formats import record_wire as wire

    data = np.frombuffer(frames.data, np.uint8)
    table = np.empty((_RUN, wire.COLUMNS), np.int64)
    while True:
        count, end, why = wire.scan(data, frames.at, table)
        origin = Origin(frames.source, frames.record)
        frames.advance(end - frames.at, count)
        for block in _described(frames.data, table[:count], layout, origin, inference=inference):
            layout = replace(layout, width=block.width)
            yield block
        if why == wire.DONE:
            return
        if why == wire.STUCK:  # a split record, or a damaged one, of which `take` tells
            origin = Origin(frames.source, frames.record)
            payloads: list[bytes] = []  # more than one: where one is split, others are
            while len(payloads) < _MESSAGES and (payload := frames.take()) is not None:
                payloads.append(payload)
            if not payloads:
                return
            bounds = np.zeros(len(payloads) + 1, np.int64)
            np.cumsum([len(payload) for payload in payloads], out=bounds[1:])
            whole = b"".join(payloads)
            wire.describe(np.frombuffer(whole, np.uint8), bounds, table[: len(payloads)])
            for block in _described(whole, table[: len(payloads)], layout, origin, inference=inference):
                layout = replace(layout, width=block.width)
                yield block


def _described(
    data: bytes, table: np.ndarray, layout: Layout, origin: Origin, *, inference: bool
) -> Iterator[Records]:
    """The records that a table of `record_wire` describes."""
    from optml.formats import record_wire as wire

    odd = table[:, wire.ODD] != 0
    # Runs of records that are odd, or not; where they alternate, one run for the library.
    breaks = np.flatnonzero(np.diff(odd)) + 1
    if len(breaks) > 16 + len(table) // 64:
        odd[:] = True
        breaks = breaks[:0]
    for start, stop in pairwise([0, *breaks.tolist(), len(table)]):
        for begin in range(start, stop, _MESSAGES if odd[start:stop].any() else _RUN):
            rows = table[begin : min(stop, begin + _MESSAGES) if odd[start] else stop]
            run = origin.later(begin)
            if odd[start]:
                payloads = [data[a:b] for a, b in rows[:, [wire.START, wire.STOP]].tolist()]
                block = _by_library(payloads, layout, run, inference=inference)
            else:
                block = _by_wire(data, rows, layout, run)
                if not inference and (rows[:, wire.FEATURES] != wire.FLOAT32).any():
                    _say_converted()
            layout = replace(layout, width=block.width)
            yield block


def _by_wire(data: bytes, table: np.ndarray, layout: Layout, origin: Origin) -> Records:
    from optml.formats import record_wire as wire

    n = len(table)
    counts = table[:, wire.VALUES]
    sparse = (table[:, wire.KEYS] > 0) | (counts == 0)
    width = _common_width(table[:, wire.WIDTH], layout, origin)
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    values = np.empty(indptr[-1], np.float32)
    keys = np.empty(indptr[-1] if sparse.any() else 0, np.int64)
    sizes = table[:, wire.LABELS]
    label_size = int(sizes.max())
    if layout.label_size == 0:
        label_size = 0
    else:
        _check_labels(sizes, label_size, origin.name)
    labels = np.empty((n, label_size), np.float64)
    weights = np.empty(n, np.float32)
    wire.fill(
        np.frombuffer(data, np.uint8), np.ascontiguousarray(table), indptr, values, keys, labels, weights
    )
    return Records(
        compressed_rows(values, keys, indptr, width, origin.name)
        if sparse.any()
        else values.reshape(n, width),
        labels=labels if label_size else None,
        weights=weights if table[:, wire.WEIGHT].any() else None,
        uids=_written(data, table[:, wire.UID : wire.UID + 2]),
        metadata=_written(data, table[:, wire.METADATA : wire.METADATA + 2]),
        origins=((0, origin),),
    )


def _written(data: bytes, spans: np.ndarray) -> tuple[str, ...] | None:
    """The texts that lie there, "" where there is none; None where no record has one."""
    if not spans.any():
        return None
    return tuple([_text(data[start:stop]) for start, stop in spans.tolist()])


def _text(value: str | bytes) -> str:
    """The library hands out as bytes what is no UTF-8: other writers do not look at what they write."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _common_width(widths: np.ndarray, layout: Layout, origin: Origin) -> int:
    """The width of all records, of which each tells its own or -1 for none."""
    rows = np.flatnonzero(widths >= 0)
    width = layout.width
    if width is None:
        if not len(rows):
            raise UserError(f"{origin.name(0)} is sparse and has no shape; set feature_dim")
        width = int(widths[rows[0]])
    wrong = rows[widths[rows] != width]
    if len(wrong):
        row = int(wrong[0])
        layout.check(int(widths[row]), origin.name(row))
        raise UserError(f"{origin.name(row)} has {int(widths[row])} values but those before it have {width}")
    return width


class _Row(NamedTuple):  # made a million times, as nothing else here
    features: Vector
    label: np.ndarray | None
    weight: float | None
    uid: str | None
    metadata: str | None


def _by_library(payloads: Sequence[bytes], layout: Layout, origin: Origin, *, inference: bool) -> Records:
    rows: list[_Row] = []
    try:
        for payload in payloads:
            rows.append(_row(parse(payload, ""), "", inference=inference))  # noqa: PERF401 - see below
    except UserError:  # once more, with a name: to make one for each takes as long as to read it
        where = origin.name(len(rows))
        _row(parse(payloads[len(rows)], where), where, inference=inference)
        raise
    return _stacked(rows, layout, origin.name, origin)


def _row(record: Record, where: str, *, inference: bool) -> _Row:
    """What a tabular record holds. Raises UserError if it is none."""
    features, label = record.features, record.label
    if "values" in features:
        value = features["values"]
    elif inference and not features and len(label) == 1:
        value, label = next(iter(label.values())), {}
    else:
        names = ", ".join(f"'{key}'" for key in sorted(map(_text, features))) or "no features at all"
        raise UserError(f"{where} has no features map entry 'values' (it has {names})")
    read, labels = tensor(value, f"{where}, features entry 'values',"), label.get("values")
    if read[0].dtype != np.float32 and not inference:
        _say_converted()
    side = features if "weights" in features else label
    weight = side.get("weights")
    return _Row(
        vector(*read, where),
        None if labels is None else _numbers(labels, f"{where}, label entry 'values',"),
        None if weight is None else _weight(weight, f"{where}, entry 'weights',"),
        _text(record.uid) if record.HasField("uid") else None,
        _text(record.metadata) if record.HasField("metadata") else None,
    )


@cache
def _say_converted() -> None:
    """Once, however many files and epochs there are."""
    log.warning("Features come as float64_tensor or int32_tensor: they are converted to float32")


def _numbers(value: Value, where: str) -> np.ndarray:
    """A label tensor as float64."""
    read = vector(*tensor(value, where), where)
    if read.keys is not None:
        raise UserError(f"{where} is sparse; labels and weights are dense")
    return float64(read.values)


def _weight(value: Value, where: str) -> float:
    numbers = _numbers(value, where)
    if len(numbers) != 1:
        raise UserError(f"{where} has {len(numbers)} values; a record has one weight")
    return float(numbers[0])


def _stacked(rows: Sequence[_Row], layout: Layout, where: Callable[[int], str], origin: Origin) -> Records:
    features = stack([row.features for row in rows], layout, where)
    labels = None
    sizes = np.array([0 if row.label is None else len(row.label) for row in rows])
    label_size = int(sizes.max())
    if label_size and layout.label_size != 0:
        _check_labels(sizes, label_size, where)
        labels = np.array([row.label if size else [np.nan] for row, size in zip(rows, sizes, strict=True)])
    uids = [row.uid for row in rows]
    metadata = [row.metadata for row in rows]
    weights = [row.weight for row in rows]
    return Records(
        features,
        labels,
        float32(np.array([1.0 if w is None else w for w in weights])) if _any_given(weights) else None,
        tuple(uid or "" for uid in uids) if _any_given(uids) else None,
        tuple(text or "" for text in metadata) if _any_given(metadata) else None,
        origins=((0, origin),),
    )


def _any_given(items: Sequence[object]) -> bool:
    return any(item is not None for item in items)


def _check_labels(sizes: np.ndarray, label_size: int, where: Callable[[int], str]) -> None:
    """Labels are equally long; where they are single, some records may have none (NaN)."""
    uneven = (sizes != label_size) & ((sizes != 0) | (label_size > 1))
    if uneven.any():
        row = int(np.argmax(uneven))
        raise _uneven_labels(int(sizes[row]), label_size, where(row))


def _uneven_labels(count: int, expected: int | None, where: str) -> UserError:
    return UserError(
        f"{where} has a label of {count} values but others have {expected}; they must be equally long"
    )
