# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment"
# The signatures stand in the decorators, for numba.
"""Record messages parsed from protobuf's wire format by compiled code: sparse and irregular records.

Two passes over the frames of a buffer: `scan` finds where each record keeps its tensors and how many elements
they have, `fill` writes them into arrays. What is legal but rare, and what is damaged, `scan` only marks as
odd; the protobuf library then decodes it, or says what is wrong. Import this module only where many records
are to be read: it imports numba.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

# Columns of the table that `scan` fills, one row a record.
START, STOP, ODD, VALUES, KEYS, WIDTH = range(6)  # payload; counts; width: -1 where no shape tells it
FEATURES, LABEL, WEIGHT = 6, 9, 12  # each: kind (field number in Value; 0: none), start, stop of the tensor
LABELS = 15  # number of label values
UID, METADATA = 16, 18  # each: start, stop of the text; start 0: none
COLUMNS = 20

DONE, FULL, STUCK = range(3)  # why `scan` stopped: no more whole frames, table full, no plain frame

_MAGIC = 0xCED7230A
FLOAT32, _FLOAT64, _INT32 = 2, 3, 7
_MAX_WIDTH = 1 << 40
_VALUES_KEY = np.frombuffer(b"values", np.uint8)  # compiled in, as the constants above
_WEIGHTS_KEY = np.frombuffer(b"weights", np.uint8)

_bytes = types.Array(types.uint8, 1, "C", readonly=True)
_int64s = types.Array(types.int64, 1, "C")
_float32s = types.Array(types.float32, 1, "C")
_float64s = types.Array(types.float64, 1, "C")
_table = types.Array(types.int64, 2, "C")
_pair = types.UniTuple(types.int64, 2)
_triple = types.UniTuple(types.int64, 3)


@njit(_pair(_bytes, types.int64, types.int64), nogil=True, cache=True)
def _varint(data, at, end):
    """Value and end of the varint at `at`; end -1 if it is cut off or too large for 63 bits."""
    value = 0
    shift = 0
    while at < end and shift < 63:
        byte = np.int64(data[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    return 0, -1


@njit(types.int64(_bytes, types.int64, types.int64), nogil=True, cache=True)
def _count_varints(data, at, end):
    """Number of varints that fill a stretch of bytes; -1 if one is cut off or may not fit into 63 bits."""
    count = 0
    size = 0
    for i in range(at, end):
        size += 1
        if data[i] < 128 and (size < 10 or data[i] <= 1):
            count += 1
            size = 0
        elif size >= 10:
            return -1
    return count if size == 0 else -1


@njit(_triple(_bytes, types.int64, types.int64), nogil=True, cache=True)
def _skip(data, at, end):
    """Tag, start and stop of the content of the field at `at`; stop -1 if it is damaged or rare."""
    tag = np.int64(data[at])
    at += 1
    if tag >= 128 or tag < 8:
        return tag, at, -1
    wire = tag & 7
    if wire == 0:
        start = at
        _, at = _varint(data, at, end)
        return tag, start, at
    if wire == 2:
        size, at = _varint(data, at, end)
        if at < 0 or size > end - at:
            return tag, at, -1
        return tag, at, at + size
    if wire == 1 and end - at >= 8:
        return tag, at, at + 8
    if wire == 5 and end - at >= 4:
        return tag, at, at + 4
    return tag, at, -1


@njit(types.UniTuple(types.int64, 4)(_bytes, types.int64, types.int64, types.int64), nogil=True, cache=True)
def _measure(data, at, end, kind):
    """Counts of values and keys, width (-1: no shape), and 1 if all is well, of a tensor."""
    values = 0
    keys = 0
    width = -1
    element = 4 if kind == FLOAT32 else 8
    while at < end:
        tag, start, stop = _skip(data, at, end)
        if stop < 0:
            return 0, 0, 0, 0
        number = tag >> 3
        wire = tag & 7
        size = stop - start
        if number == 1 and kind != _INT32:
            if wire == 2:
                if size % element:
                    return 0, 0, 0, 0
                values += size // element
            elif (wire == 5 and element == 4) or (wire == 1 and element == 8):
                values += 1
            else:
                return 0, 0, 0, 0
        elif number <= 3:
            if wire == 2:
                count = _count_varints(data, start, stop)
            elif wire == 0:
                count = 1
            else:
                count = -1
            if count < 0:
                return 0, 0, 0, 0
            if number == 1:
                values += count
            elif number == 2:
                keys += count
            else:
                while start < stop:
                    extent, start = _varint(data, start, stop)
                    if start < 0:
                        return 0, 0, 0, 0
                    width = extent if width < 0 else width * extent
                    if extent > _MAX_WIDTH or width > _MAX_WIDTH:
                        return 0, 0, 0, 0
        at = stop
    return values, keys, width, 1


@njit(types.boolean(_bytes, types.int64, types.int64, _bytes), nogil=True, cache=True)
def _is(data, start, stop, text):
    if stop - start != len(text):
        return False
    for i in range(len(text)):  # noqa: SIM110 - compiled code has no generators
        if data[start + i] != text[i]:
            return False
    return True


@njit(types.UniTuple(types.int64, 4)(_bytes, types.int64, types.int64), nogil=True, cache=True)
def _entry(data, at, end):
    """A map entry: which key (1 `values`, 2 `weights`, 0 odd), kind, start and stop of its tensor."""
    key = 0
    start = -1
    stop = -1
    while at < end:
        tag, begin, finish = _skip(data, at, end)
        if finish < 0 or (tag != 10 and tag != 18):
            return 0, 0, 0, 0
        if tag == 10:
            if key:
                return 0, 0, 0, 0
            if _is(data, begin, finish, _VALUES_KEY):
                key = 1
            elif _is(data, begin, finish, _WEIGHTS_KEY):
                key = 2
            else:
                return 0, 0, 0, 0
        else:
            if start >= 0:
                return 0, 0, 0, 0
            start, stop = begin, finish
        at = finish
    if key == 0 or start < 0 or start == stop:
        return 0, 0, 0, 0
    tag, begin, finish = _skip(data, start, stop)
    kind = tag >> 3
    if finish != stop or tag & 7 != 2 or (kind != FLOAT32 and kind != _FLOAT64 and kind != _INT32):
        return 0, 0, 0, 0
    return key, kind, begin, finish


@njit(types.boolean(_bytes, types.int64, types.int64, _int64s), nogil=True, cache=True)
def _record(data, at, end, row):
    """Describe the record from `at` to `end` in a row of the table; False if it is odd."""
    row[FEATURES] = row[LABEL] = row[WEIGHT] = 0
    row[LABELS] = 0
    row[UID] = row[UID + 1] = row[METADATA] = row[METADATA + 1] = 0
    while at < end:
        tag, start, stop = _skip(data, at, end)
        if stop < 0:
            return False
        number = tag >> 3
        if number <= 5 and tag & 7 != 2:
            return False
        if number == 3 or number == 4:  # the last one counts
            slot = UID if number == 3 else METADATA
            row[slot] = start
            row[slot + 1] = stop
        elif number <= 2:
            key, kind, start, finish = _entry(data, start, stop)
            if key == 0:
                return False
            slot = WEIGHT if key == 2 else FEATURES if number == 1 else LABEL
            if row[slot]:  # a key given twice: the library knows which one counts
                return False
            row[slot] = kind
            row[slot + 1] = start
            row[slot + 2] = finish
        at = stop
    if row[FEATURES] == 0:
        return False
    values, keys, width, well = _measure(data, row[FEATURES + 1], row[FEATURES + 2], row[FEATURES])
    if not well or (keys and keys != values) or (values == 0 and width < 0):
        return False
    if values and not keys:
        if width >= 0 and width != values:
            return False
        width = values
    row[VALUES] = values
    row[KEYS] = keys
    row[WIDTH] = width
    if row[LABEL]:
        values, keys, width, well = _measure(data, row[LABEL + 1], row[LABEL + 2], row[LABEL])
        if not well or keys or width >= 0:
            return False
        row[LABELS] = values
    if row[WEIGHT]:
        values, keys, width, well = _measure(data, row[WEIGHT + 1], row[WEIGHT + 2], row[WEIGHT])
        if not well or keys or values != 1:
            return False
    return True


@njit(_triple(_bytes, types.int64, _table), nogil=True, cache=True)
def scan(data, at, table):
    """Describe the whole frames from `at` on in `table` (capacity, COLUMNS) int64.

    Returns how many there are, where the next begins, and why it stopped there.
    """
    count = 0
    total = len(data)
    while at + 8 <= total:
        magic = data[at] | data[at + 1] << 8 | data[at + 2] << 16 | np.int64(data[at + 3]) << 24
        word = data[at + 4] | data[at + 5] << 8 | data[at + 6] << 16 | np.int64(data[at + 7]) << 24
        if magic != _MAGIC or word >> 29:
            return count, at, STUCK
        end = at + 8 + word
        following = end + (-word & 3)
        if following > total:
            return count, at, DONE
        if count == len(table):
            return count, at, FULL
        row = table[count]
        row[START] = at + 8
        row[STOP] = end
        row[ODD] = 0 if _record(data, at + 8, end, row) else 1
        count += 1
        at = following
    return count, at, DONE


@njit(types.void(_bytes, _int64s, _table), nogil=True, cache=True)
def describe(data, bounds, table):
    """As `scan`, of payloads without frames that lie one behind the other: (n + 1,) bounds."""
    for i in range(len(table)):
        row = table[i]
        row[START] = bounds[i]
        row[STOP] = bounds[i + 1]
        row[ODD] = 0 if _record(data, bounds[i], bounds[i + 1], row) else 1


@njit(types.void(_bytes, types.int64, types.int64, types.int64, _float64s), nogil=True, cache=True)
def _fill_small(data, at, end, kind, out):
    """The values of a tensor as float64: labels, weights and what is not float32."""
    four = np.empty(1, np.float32)
    eight = np.empty(1, np.float64)
    four_bytes = four.view(np.uint8)
    eight_bytes = eight.view(np.uint8)
    n = 0
    while at < end:
        tag, start, stop = _skip(data, at, end)
        at = stop
        if tag >> 3 != 1:
            continue
        while start < stop:
            if kind == FLOAT32:
                four_bytes[:] = data[start : start + 4]
                out[n] = four[0]
                start += 4
            elif kind == _FLOAT64:
                eight_bytes[:] = data[start : start + 8]
                out[n] = eight[0]
                start += 8
            else:
                value = np.uint64(0)
                shift = np.uint64(0)
                byte = np.uint64(128)
                while byte >= 128:  # the low 32 bits are the number, as in the protobuf library
                    byte = np.uint64(data[start])
                    if shift < 64:
                        value |= (byte & np.uint64(127)) << shift
                    shift += np.uint64(7)
                    start += 1
                low = np.int64(value & np.uint64(0xFFFFFFFF))
                out[n] = low - (np.int64(1) << 32) if low >= np.int64(1) << 31 else low
            n += 1


@njit(
    types.void(
        _bytes,
        _table,
        _int64s,
        _float32s,
        _int64s,
        types.Array(types.float64, 2, "C"),
        _float32s,
    ),
    nogil=True,
    cache=True,
)
def fill(data, table, indptr, values, keys, labels, weights):
    """Write the tensors that `scan` found, none of them odd.

    indptr: (n + 1,) where each record's elements lie in `values`, and in `keys` if it has any length: there
    a dense record gets 0, 1, 2, ... labels: (n, l), NaN where a record has none. weights: (n,) 1 where none.
    """
    raw = values.view(np.uint8)
    for i in range(len(table)):
        row = table[i]
        kind = row[FEATURES]
        at = row[FEATURES + 1]
        end = row[FEATURES + 2]
        if kind == FLOAT32:
            to = indptr[i] * 4
            position = at
            while position < end:
                tag, start, stop = _skip(data, position, end)
                position = stop
                if tag >> 3 == 1:
                    raw[to : to + stop - start] = data[start:stop]
                    to += stop - start
        else:
            exact = np.empty(row[VALUES], np.float64)
            _fill_small(data, at, end, kind, exact)
            for j in range(len(exact)):
                values[indptr[i] + j] = np.float32(exact[j])
        if len(keys):
            to = indptr[i]
            if row[KEYS] == 0:
                for j in range(row[VALUES]):
                    keys[to + j] = j
            while at < end and row[KEYS]:
                tag, start, stop = _skip(data, at, end)
                at = stop
                if tag >> 3 == 2:
                    while start < stop:
                        byte = np.int64(data[start])
                        start += 1
                        key = byte & 127
                        shift = 7
                        while byte >= 128:
                            byte = np.int64(data[start])
                            start += 1
                            key |= (byte & 127) << shift
                            shift += 7
                        keys[to] = key
                        to += 1
        if row[LABELS]:
            _fill_small(data, row[LABEL + 1], row[LABEL + 2], row[LABEL], labels[i])
        else:
            labels[i] = np.nan
        if row[WEIGHT]:
            one = np.empty(1, np.float64)
            _fill_small(data, row[WEIGHT + 1], row[WEIGHT + 2], row[WEIGHT], one)
            weights[i] = np.float32(one[0])
        else:
            weights[i] = 1.0
