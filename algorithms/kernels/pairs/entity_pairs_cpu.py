# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# The signatures stand in the decorators, for numba.
"""CSV of two columns, an entity and an IPv4 address, to numbers in one pass.

RFC 4180: fields may be quoted, a quote inside is doubled, a quoted field may hold commas and line ends. Lines
end in LF, CRLF or CR; blank ones count for nothing. Blanks around a field, also inside of its quotes, are
stripped.

An entity's number is the xxHash64 (Y. Collet, github.com/Cyan4973/xxHash, doc/xxhash_spec.md) of its bytes
with seed 0; an address's is its 32 bits, the first octet highest.
"""

from __future__ import annotations

import numpy as np
from numba import int64, types, uint8, uint32, uint64

from optml.algorithms.kernels.machine.simd import compiled

# What is wrong with a record.
SOUND, FIELDS, NO_ENTITY, NO_ADDRESS, BEHIND_QUOTE, OPEN_QUOTE = range(6)

SHORTEST = len(b"a,1.1.1.1\n")  # bytes of a record

_bytes = types.Array(uint8, 1, "C", readonly=True)
_scratch = types.Array(uint8, 1, "C")
_hashes = types.Array(uint64, 1, "C")
_addresses = types.Array(uint32, 1, "C")
_bounds = types.Array(int64, 1, "C", readonly=True)

_SPACE, _TAB, _LF, _CR, _COMMA, _QUOTE, _DOT, _ZERO = 32, 9, 10, 13, 44, 34, 46, 48

_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
    )
)  # fmt: skip
_64 = np.uint64(64)
_ROUNDS = tuple(np.uint64(bits) for bits in (1, 7, 12, 18))


@compiled([uint64(uint64, uint64)], inline=True)
def _rotate(value, bits):
    return (value << bits) | (value >> (_64 - bits))


@compiled([uint64(uint64, uint64)], inline=True)
def _round(lane, word):
    return _rotate(lane + word * _P2, np.uint64(31)) * _P1


@compiled([uint64(_bytes, int64, int64)], inline=True)
def _word(text, at, size):
    """`size` bytes, the first lowest."""
    word = np.uint64(0)
    for place in range(size):
        word |= np.uint64(text[at + place]) << np.uint64(8 * place)
    return word


@compiled([uint64(_bytes, int64, int64)])
def xxh64(text, start, stop):
    """The hash of a run of bytes."""
    at = start
    if stop - start >= 32:
        one, two, three, four = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
        while at + 32 <= stop:
            one = _round(one, _word(text, at, 8))
            two = _round(two, _word(text, at + 8, 8))
            three = _round(three, _word(text, at + 16, 8))
            four = _round(four, _word(text, at + 24, 8))
            at += 32
        h = _rotate(one, _ROUNDS[0]) + _rotate(two, _ROUNDS[1])
        h += _rotate(three, _ROUNDS[2]) + _rotate(four, _ROUNDS[3])
        zero = np.uint64(0)
        h = (h ^ _round(zero, one)) * _P1 + _P4
        h = (h ^ _round(zero, two)) * _P1 + _P4
        h = (h ^ _round(zero, three)) * _P1 + _P4
        h = (h ^ _round(zero, four)) * _P1 + _P4
    else:
        h = _P5
    h += np.uint64(stop - start)
    while at + 8 <= stop:
        h = _rotate(h ^ _round(np.uint64(0), _word(text, at, 8)), np.uint64(27)) * _P1 + _P4
        at += 8
    if at + 4 <= stop:
        h = _rotate(h ^ (_word(text, at, 4) * _P1), np.uint64(23)) * _P2 + _P3
        at += 4
    while at < stop:
        h = _rotate(h ^ (np.uint64(text[at]) * _P5), np.uint64(11)) * _P1
        at += 1
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return h ^ (h >> np.uint64(32))


@compiled([int64(_bytes, int64, int64)])
def address(text, start, stop):
    """The 32 bits of a run of bytes that is four octets of 0 to 255 without leading zeros, parted by dots;
    -1 for any other."""
    bits, octets, at = int64(0), 0, start
    while octets < 4:
        octet, digits = int64(0), 0
        while at < stop and digits < 4:
            digit = int64(text[at]) - _ZERO
            if digit < 0 or digit > 9:
                break
            if digits > 0 and octet == 0:
                return int64(-1)
            octet = 10 * octet + digit
            digits += 1
            at += 1
        if digits == 0 or octet > 255:
            return int64(-1)
        bits = (bits << 8) | octet
        octets += 1
        if octets < 4:
            if at >= stop or text[at] != _DOT:
                return int64(-1)
            at += 1
    return bits if at == stop else int64(-1)


@compiled([types.UniTuple(int64, 5)(_bytes, int64, int64, _scratch)])
def _field(text, at, size, scratch):
    """Read a field. Returns where its content begins and ends, whether that is in `scratch`, where its
    delimiter is (`size`: there is none yet), and what is wrong."""
    while at < size and (text[at] == _SPACE or text[at] == _TAB):
        at += 1
    if at < size and text[at] == _QUOTE:
        stop = int64(0)
        at += 1
        while True:
            if at >= size:
                return int64(0), stop, int64(1), size, int64(OPEN_QUOTE)
            byte = text[at]
            if byte == _QUOTE:
                if at + 1 < size and text[at + 1] == _QUOTE:
                    at += 1
                else:
                    break
            scratch[stop] = byte
            stop += 1
            at += 1
        at += 1
        while at < size and (text[at] == _SPACE or text[at] == _TAB):
            at += 1
        if at < size and text[at] != _COMMA and text[at] != _LF and text[at] != _CR:
            return int64(0), stop, int64(1), at, int64(BEHIND_QUOTE)
        start = int64(0)
        while start < stop and (scratch[start] == _SPACE or scratch[start] == _TAB):
            start += 1
        while start < stop and (scratch[stop - 1] == _SPACE or scratch[stop - 1] == _TAB):
            stop -= 1
        return start, stop, int64(1), at, int64(SOUND)
    start = at
    while at < size and text[at] != _COMMA and text[at] != _LF and text[at] != _CR:
        at += 1
    stop = at
    while start < stop and (text[stop - 1] == _SPACE or text[stop - 1] == _TAB):
        stop -= 1
    return start, stop, int64(0), at, int64(SOUND)


@compiled([types.UniTuple(int64, 3)(_bytes, int64, types.boolean, _scratch, _hashes, _addresses)])
def scan(text, size, final, scratch, hashes, addresses):
    """Read the first `size` bytes of a text.

    final:     the text ends there, so that its last line needs no end; else a last record that may go on is
               left for the next call.
    scratch:   (size,) for quoted fields.   hashes, addresses: room for size // SHORTEST + 1 records.
    Returns how many records were read, where the first begins that was not, and what is wrong with it.
    """
    n, begin, at = int64(0), int64(0), int64(0)
    while at < size:
        begin = at
        start, stop, quoted, at, problem = _field(text, at, size, scratch)
        ends = at < size and text[at] != _COMMA
        if problem == SOUND and not quoted and start == stop and (ends or (final and at >= size)):
            if not final and text[at] == _CR and at + 1 >= size:  # half of a CRLF, perhaps
                return n, begin, int64(SOUND)
            at += 1  # a blank line
            begin = min(at, size)
            continue
        if at >= size and not final:
            return n, begin, int64(SOUND)
        if problem != SOUND:
            return n, begin, problem
        if ends or at >= size:
            return n, begin, int64(FIELDS)
        if start == stop:
            return n, begin, int64(NO_ENTITY)
        h = xxh64(scratch, start, stop) if quoted else xxh64(text, start, stop)
        start, stop, quoted, at, problem = _field(text, at + 1, size, scratch)
        if not final and (at >= size or (text[at] == _CR and at + 1 >= size)):
            return n, begin, int64(SOUND)
        if problem != SOUND:
            return n, begin, problem
        if at < size and text[at] == _COMMA:
            return n, begin, int64(FIELDS)
        bits = address(scratch, start, stop) if quoted else address(text, start, stop)
        if bits < 0:
            return n, begin, int64(NO_ADDRESS)
        hashes[n] = h
        addresses[n] = bits
        n += 1
        if at + 1 < size and text[at] == _CR and text[at + 1] == _LF:
            at += 1
        at += 1
        begin = min(at, size)
    return n, begin, int64(SOUND)


@compiled([types.void(_bytes, _bounds, _hashes)])
def hash_each(text, bounds, hashes):
    """The hashes of runs of bytes, run i from bounds[i] to bounds[i + 1]."""
    for i in range(len(hashes)):
        hashes[i] = xxh64(text, bounds[i], bounds[i + 1])
