"""fastText's binary model (facebookresearch/fastText, versions 11 and 12), little endian.

    int32 magic, int32 version; 12 int32 and a double of settings;
    dictionary: int32 size, words, labels; int64 tokens, pruned; entries; pairs (bucket, row) of int32;
    a byte (quantised?) and the input matrix; a byte and the output matrix

A matrix is mapped, not read: the workers of a server share its pages.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np

from optml.algorithms.blazingtext.quantized import Dense, Matrix, Quantized, Quantizer
from optml.algorithms.blazingtext.vocabulary import Vocabulary, Words
from optml.errors import UserError

MAGIC, VERSION = 793712314, 12
HIERARCHICAL, NEGATIVES, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
CBOW, SKIPGRAM, SUPERVISED = 1, 2, 3
BATCH_SKIPGRAM = 4  # as AWS's image writes it; unknown to fastText
_HEAD = struct.Struct("<2i12id3i2q")
_ROWS = 1 << 12  # of a matrix written at a time


@dataclass(frozen=True, slots=True)
class FastTextSettings:
    """fastText's arguments, in the order of the file."""

    dim: int
    window: int = 5
    epoch: int = 5
    min_count: int = 5
    negatives: int = 5
    word_ngrams: int = 1
    loss: int = NEGATIVES
    model: int = SKIPGRAM
    buckets: int = 0
    shortest: int = 0
    longest: int = 0
    update_rate: int = 100
    threshold: float = 1e-4


@dataclass(frozen=True, slots=True)
class File:
    """What a file holds. pruned: the row, from the first after the words, of each bucket that has one; None:
    all have."""

    settings: FastTextSettings
    vocabulary: Vocabulary
    pruned: dict[int, int] | None
    input: Matrix
    output: Matrix


def read(path: Path) -> File:
    """Map a model. Raises UserError for a file that is none, of a newer version, or truncated."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    reader = _Reader(np.frombuffer(data, np.uint8), str(path))
    magic, version = reader.numbers("i", 2)
    if magic != MAGIC:
        raise UserError(f"{path} is no model of fastText: it begins with {magic:#x}, not {MAGIC:#x}")
    if not 11 <= version <= VERSION:
        raise UserError(f"{path} is of version {version} of fastText's format; 11 and 12 can be read")
    settings = FastTextSettings(*reader.numbers("i", 12), *reader.numbers("d", 1))
    if version == 11 and settings.model == SUPERVISED:
        settings = replace(settings, longest=0)
    vocabulary, pruned = reader.dictionary()
    quantised = reader.flag()
    table = reader.matrix(quantised)
    # The second byte is the output's own: it may be plain though the input is quantised.
    outputs = reader.matrix(reader.flag())
    _require(settings, vocabulary, pruned, table, outputs, str(path))
    return File(settings, vocabulary, pruned, table, outputs)


def _require(
    settings: FastTextSettings,
    vocabulary: Vocabulary,
    pruned: Any,
    table: Matrix,
    outputs: Matrix,
    source: str,
) -> None:
    """The parts must fit each other, or a request would read past their ends."""
    rows = vocabulary.words + (settings.buckets if pruned is None else len(pruned))
    shape = table.shape
    labels = vocabulary.labels if settings.model == SUPERVISED else vocabulary.words
    if shape[1] != settings.dim or shape[0] < vocabulary.words or settings.dim < 1:
        raise UserError(
            f"{source} is damaged: {shape} numbers for {vocabulary.words} words of {settings.dim}"
        )
    needs_buckets = settings.longest > 0 or settings.word_ngrams > 1
    if needs_buckets and settings.buckets < 1:
        raise UserError(f"{source} is damaged: {settings.buckets} buckets, but n-grams to be put into them")
    if needs_buckets and shape[0] < rows:
        raise UserError(f"{source} is damaged: {shape[0]} rows for {rows} words and buckets")
    if pruned is not None and any(not 0 <= row < rows - vocabulary.words for row in pruned.values()):
        raise UserError(f"{source} is damaged: a pruned bucket has no row")
    if outputs.shape != (labels, settings.dim):
        raise UserError(f"{source} is damaged: output of shape {outputs.shape} for {labels} outputs")


class _Reader:
    """Takes a file's parts one after the other."""

    def __init__(self, data: np.ndarray, source: str) -> None:
        self._data = data
        self._source = source
        self._at = 0

    def _take(self, size: int) -> np.ndarray:
        if size < 0 or self._at + size > len(self._data):
            raise UserError(
                f"{self._source} is truncated or damaged: {size} bytes are needed at {self._at}, "
                f"the file has {len(self._data)}; copy it again"
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def numbers(self, kind: str, count: int) -> tuple[Any, ...]:
        form = struct.Struct(f"<{count}{kind}")
        return form.unpack(self._take(form.size).tobytes())

    def flag(self) -> bool:
        return bool(self._take(1)[0])

    def dictionary(self) -> tuple[Vocabulary, dict[int, int] | None]:
        from optml.algorithms.kernels.words import tokens_cpu

        size, words, labels = self.numbers("i", 3)
        tokens, pairs = self.numbers("q", 2)
        left = len(self._data) - self._at
        if min(size, words, labels) < 0 or size != words + labels or size * 10 > left:
            raise UserError(f"{self._source} is truncated or damaged: {size} entries in {left} bytes")
        starts, hashes = np.zeros(size + 1, np.int64), np.empty(size, np.uint32)
        counts, kinds = np.empty(size, np.int64), np.empty(size, np.uint8)
        # Entries go up to a place that is not known yet; what is behind them is larger than their words.
        blob = np.empty(min(left, max(1 << 20, 256 * size)), np.uint8)
        end = tokens_cpu.entries(self._data, self._at, size, starts, blob, hashes, counts, kinds)
        if end < 0:
            self._take(len(self._data))
        self._at = end
        if (kinds[:words] != 0).any() or (kinds[words:] != 1).any():
            raise UserError(f"{self._source} is damaged: words and labels are not in their order")
        entries = Words.of_arrays(blob[: starts[-1]].copy(), starts, hashes, counts)
        pruned = None
        if pairs >= 0:
            numbers = np.frombuffer(self._take(8 * pairs), "<i4").reshape(-1, 2)
            pruned = dict(numbers.tolist())
        return Vocabulary(entries, words, labels, tokens), pruned

    def matrix(self, quantised: bool) -> Matrix:
        if not quantised:
            rows, columns = self.numbers("q", 2)
            if rows < 0 or columns < 0:
                raise UserError(f"{self._source} is damaged: a matrix of {rows} x {columns}")
            values = self._take(4 * rows * columns)
            if values.ctypes.data % 4:  # words may have any length; numpy reads such arrays as well
                return Dense(np.ndarray((rows, columns), "<f4", values.data))
            return Dense(values.view("<f4").reshape(rows, columns))
        normed = self.flag()
        rows, columns = self.numbers("q", 2)
        (size,) = self.numbers("i", 1)
        codes = self._take(size)
        quantizer = self._quantizer()
        norms = None
        if normed:
            places = self._take(rows)
            values = self._quantizer().centroids
            if len(values) < 256:
                raise UserError(f"{self._source} is damaged: a quantiser of norms has {len(values)} values")
            norms = values[:256][places]
        if rows * quantizer.parts != size or quantizer.dim != columns:
            raise UserError(f"{self._source} is damaged: {size} codes for {rows} rows of {quantizer.parts}")
        return Quantized(codes.reshape(rows, -1), quantizer, norms)

    def _quantizer(self) -> Quantizer:
        dim, parts, width, last = self.numbers("i", 4)
        if min(dim, parts, width, last) < 1 or (parts - 1) * width + last != dim:
            raise UserError(
                f"{self._source} is damaged: {parts} parts of {width} and {last} for {dim} columns"
            )
        return Quantizer(dim, width, last, np.frombuffer(self._take(4 * 256 * dim).tobytes(), "<f4"))


def write(
    path: Path,
    settings: FastTextSettings,
    vocabulary: Vocabulary,
    table: np.ndarray,
    output: np.ndarray,
    rows: np.ndarray | None = None,
) -> None:
    """Write a model of version 12.

    table:  rows of the words and, behind them, of the buckets `rows` names (int64, ascending; None: there are
            no buckets). The others are zeros, which the file system need not store.
    output: the output matrix.
    """
    vocabulary = vocabulary.compact()
    size = vocabulary.words + vocabulary.labels
    with path.open("wb") as file:
        values = [getattr(settings, field.name) for field in fields(FastTextSettings)]
        file.write(
            _HEAD.pack(
                MAGIC, VERSION, *values, size, vocabulary.words, vocabulary.labels, vocabulary.tokens, -1
            )
        )
        counts = vocabulary.entries.counts
        for number, word in enumerate(vocabulary.entries):
            file.write(word + struct.pack("<xqb", int(counts[number]), number >= vocabulary.words))
        file.write(struct.pack("<bqq", 0, vocabulary.words + settings.buckets, settings.dim))
        begin = file.tell()
        _put(file, table[: vocabulary.words])
        row = 4 * settings.dim
        for start, stop in _runs(rows if rows is not None else np.empty(0, np.int64)):
            assert rows is not None
            file.seek(begin + (vocabulary.words + int(rows[start])) * row)
            _put(file, table[vocabulary.words + start : vocabulary.words + stop])
        file.seek(begin + (vocabulary.words + settings.buckets) * row)
        file.write(struct.pack("<bqq", 0, len(output), settings.dim))
        _put(file, output)


def _put(file: IO[bytes], table: np.ndarray) -> None:
    for start in range(0, len(table), _ROWS):
        file.write(np.ascontiguousarray(table[start : start + _ROWS], "<f4").data)


def _runs(numbers: np.ndarray) -> Iterator[tuple[int, int]]:
    """The runs of successive numbers, by their places."""
    edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    return ((start, stop) for start, stop in pairwise(edges) if stop > start)
