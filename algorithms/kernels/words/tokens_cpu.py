"""Text to numbers: tokens are cut out of bytes, hashed as fastText does, and looked up in an open table.

A set of words is five arrays: `blob` (bytes of all words, one after the other), `starts` (first byte of each,
and the end), `hashes` (uint32), `counts`, and `table`, whose size is a power of two: the number of a word at
the place that its hash names or at the next free one, -1 where there is none.
"""

from __future__ import annotations

import numpy as np
from numba import boolean, int32, int64, types, uint8, uint32, void

from optml.algorithms.kernels.machine.simd import compiled

LINE_END = -1  # the number of a line's end among tokens
UNKNOWN = -2  # of a token that is not in the table, where none is added

_bytes = types.Array(uint8, 1, "C", readonly=True)
_blob = types.Array(uint8, 1, "C")
_int32s = types.Array(int32, 1, "C")
_int64s = types.Array(int64, 1, "C")
_hashes = types.Array(uint32, 1, "C")

_OFFSET, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF
_WORDS_FACTOR = 116049371  # multiplier in the hash of word n-grams, as fastText has it
SPACE, NEW_LINE = 32, 10


@compiled([int64(_bytes, int64, int64)])
def fnv(text, start, stop):  # type: ignore[no-untyped-def]
    """FNV-1a of a run of bytes, each sign-extended to 32 bits before the xor, as fastText does it."""
    h = _OFFSET
    for at in range(start, stop):
        byte = int64(text[at])
        if byte >= 128:
            byte |= 0xFFFFFF00
        h = ((h ^ byte) * _PRIME) & _MASK
    return h


@compiled([boolean(uint8)])
def _separates(byte):  # type: ignore[no-untyped-def]
    return byte == SPACE or (9 <= byte <= 13) or byte == 0


@compiled([int64(_bytes, int64, int64, int64, _int32s, _hashes, _int64s, _blob)])
def find(text, start, stop, h, table, hashes, starts, blob):  # type: ignore[no-untyped-def]
    """The place in the table of the word in a run of bytes whose hash is h, or the free one where it would
    be."""
    mask = len(table) - 1
    place = h & mask
    while True:
        word = int64(table[place])
        if word < 0:
            return place
        if int64(hashes[word]) == h and starts[word + 1] - starts[word] == stop - start:
            first = starts[word]
            same = True
            for at in range(stop - start):
                if blob[first + at] != text[start + at]:
                    same = False
                    break
            if same:
                return place
        place = (place + 1) & mask


@compiled([int64(_bytes, _int32s, _hashes, _int64s, _blob, _int64s, _int64s, _int32s)])
def intern(text, table, hashes, starts, blob, counts, used, out):  # type: ignore[no-untyped-def]
    """Number the tokens of a text into `out` (one place a byte is enough), adding and counting words.

    used: [words so far]. The arrays must have room for as many more words as the text may have. Returns the
    number of tokens, line ends among them.
    """
    n = 0
    at = 0
    size = len(text)
    while at < size:
        byte = text[at]
        if byte == NEW_LINE:
            out[n] = LINE_END
            n += 1
            at += 1
        elif _separates(byte):
            at += 1
        else:
            start = at
            while at < size and not _separates(text[at]):
                at += 1
            h = fnv(text, start, at)
            place = find(text, start, at, h, table, hashes, starts, blob)
            word = int64(table[place])
            if word < 0:
                word = used[0]
                used[0] = word + 1
                table[place] = word
                hashes[word] = h
                counts[word] = 0
                first = starts[word]
                for offset in range(at - start):
                    blob[first + offset] = text[start + offset]
                starts[word + 1] = first + at - start
            counts[word] += 1
            out[n] = word
            n += 1
    return n


@compiled([int64(_bytes, _int32s, _hashes, _int64s, _blob, _int32s, _int32s)])
def look_up(text, table, hashes, starts, blob, out, word_hashes):  # type: ignore[no-untyped-def]
    """Number the tokens of a text into `out`, UNKNOWN where they are in no table, and write the hash of each,
    as an int32, into `word_hashes`. Returns the number of tokens."""
    n = 0
    at = 0
    size = len(text)
    while at < size:
        byte = text[at]
        if byte == NEW_LINE:
            out[n] = LINE_END
            word_hashes[n] = 0
            n += 1
            at += 1
        elif _separates(byte):
            at += 1
        else:
            start = at
            while at < size and not _separates(text[at]):
                at += 1
            h = fnv(text, start, at)
            word = int64(table[find(text, start, at, h, table, hashes, starts, blob)])
            out[n] = word if word >= 0 else UNKNOWN
            word_hashes[n] = np.int32(h)
            n += 1
    return n


@compiled([void(_int32s, _hashes, int64)])
def fill_table(table, hashes, words):  # type: ignore[no-untyped-def]
    """Enter `words` distinct words into an empty table."""
    mask = len(table) - 1
    for word in range(words):
        place = int64(hashes[word]) & mask
        while table[place] >= 0:
            place = (place + 1) & mask
        table[place] = word


@compiled([int64(_bytes, int64, int64, _int64s, _blob, _hashes, _int64s, _blob)])
def entries(data, at, count, starts, blob, hashes, counts, kinds):  # type: ignore[no-untyped-def]
    """Read `count` entries of a fastText dictionary: bytes, 0, int64 count, int8 kind. Returns where they
    end, -1 for data that end before they do."""
    size = len(data)
    starts[0] = 0
    for word in range(count):
        start = at
        while at < size and data[at] != 0:
            at += 1
        if at + 10 > size:
            return int64(-1)
        first = starts[word]
        for offset in range(at - start):
            blob[first + offset] = data[start + offset]
        starts[word + 1] = first + at - start
        hashes[word] = fnv(data, start, at)
        total = int64(0)
        for place in range(8):
            total |= int64(data[at + 1 + place]) << (8 * place)
        counts[word] = total
        kinds[word] = data[at + 9]
        at += 10
    return at


@compiled([int64(_bytes, int64, int64, int64, int64, int64, _int32s)])
def character_ngrams(word, start, stop, shortest, longest, buckets, out):  # type: ignore[no-untyped-def]
    """The buckets of the n-grams of a run of bytes (`<word>`), in UTF-8 characters; returns how many.

    n-grams of one character at either end, the brackets, are left out.
    """
    n = 0
    for first in range(start, stop):
        if word[first] & 0xC0 == 0x80:  # in the middle of a character
            continue
        at = first
        length = 0
        while at < stop and length < longest:
            at += 1
            while at < stop and word[at] & 0xC0 == 0x80:
                at += 1
            length += 1
            if length >= shortest and not (length == 1 and (first == start or at == stop)):
                out[n] = fnv(word, first, at) % buckets
                n += 1
    return n


@compiled([int64(_int32s, int64, int64, int64, int64, _int32s, int64)])
def word_ngrams(word_hashes, start, stop, longest, buckets, out, n):  # type: ignore[no-untyped-def]
    """Append the buckets of the n-grams of 2 to `longest` words, of the int32 hashes in a run, to the n that
    `out` holds; returns how many it holds then."""
    for first in range(start, stop):
        h = np.uint64(int64(word_hashes[first]))
        for at in range(first + 1, min(stop, first + longest)):
            h = h * np.uint64(_WORDS_FACTOR) + np.uint64(int64(word_hashes[at]))
            out[n] = int64(h % np.uint64(buckets))
            n += 1
    return n
