"""Word vectors: of words seen in training, and of others by their character n-grams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from optml.algorithms.blazingtext import fasttext_file
from optml.algorithms.blazingtext.classifier import place_rows
from optml.algorithms.blazingtext.quantized import Dense, Matrix
from optml.algorithms.blazingtext.vocabulary import END, Vocabulary, Words, character_ngrams
from optml.errors import UserError
from optml.formats.records import Columns

ROWS = 1 << 12  # written at a time


@dataclass(frozen=True, slots=True)
class Lookup:
    """A request: words whose vectors are wanted."""

    words: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, some: slice) -> Lookup:
        return Lookup(self.words[some])


class WordVectors:
    """settings, vocabulary, matrices: those of fastText's file; output None: unknown.

    rows: of which buckets `input` has rows, ascending, behind those of the words; the others share its last
          row, of zeros. None: all have one.
    """

    width = None

    def __init__(
        self,
        settings: fasttext_file.FastTextSettings,
        vocabulary: Vocabulary,
        table: Matrix,
        output: Matrix | None = None,
        rows: np.ndarray | None = None,
        pruned: Mapping[int, int] | None = None,
    ) -> None:
        self.settings = settings
        self.vocabulary = vocabulary
        self.input = table
        self.output = output
        self.evaluation: dict[str, Any] | None = None  # what eval.json holds
        self._rows = rows
        self._pruned = pruned

    @classmethod
    def of_file(cls, file: fasttext_file.File) -> WordVectors:
        return cls(file.settings, file.vocabulary, file.input, file.output, pruned=file.pruned)

    def predict(self, batch: Lookup, options: Mapping[str, str]) -> Columns:
        """`vector` (n, d) float32 and `word` (n,) of each word: the mean of its rows; zeros for a word
        that is unknown and has no known n-gram."""
        vectors = np.zeros((len(batch), self.settings.dim), np.float32)
        for place, word in enumerate(batch.words):
            rows = self._rows_of(word)
            if len(rows):
                vectors[place] = self.input.rows(rows).mean(axis=0)
        words = np.empty(len(batch), object)
        words[:] = [word.decode("utf-8", "replace") for word in batch.words]
        return {"vector": vectors, "word": words}

    def known(self, word: bytes) -> bool:
        """Was the word seen in training?"""
        return self._number(word) >= 0

    def matrix(self, start: int, stop: int) -> np.ndarray:
        """The vectors of a run of words, (n, d) float32."""
        if self.settings.longest == 0:
            return self.input.rows(np.arange(start, stop))
        words = [self.vocabulary.entries[number] for number in range(start, stop)]
        return np.asarray(self.predict(Lookup(words), {})["vector"])

    def save(self, folder: Path) -> None:
        """Write vectors.txt, vectors.bin where all of its content is known, eval.json after an evaluation."""
        with (folder / "vectors.txt").open("wb") as file:
            file.write(b"%d %d\n" % (self.vocabulary.words, self.settings.dim))
            for start in range(0, self.vocabulary.words, ROWS):
                file.write(b"".join(self._lines(start, min(start + ROWS, self.vocabulary.words))))
        if self.output is not None:
            table = self.input.rows(np.arange(self.input.shape[0]))
            outputs = self.output.rows(np.arange(self.output.shape[0]))
            fasttext_file.write(
                folder / "vectors.bin", self.settings, self.vocabulary, table, outputs, self._rows
            )
        if self.evaluation is not None:
            (folder / "eval.json").write_text(json.dumps(self.evaluation, indent=4, sort_keys=True))

    def _lines(self, start: int, stop: int) -> Iterator[bytes]:
        """As AWS's image writes them: a blank behind each number."""
        text = orjson.dumps(np.ascontiguousarray(self.matrix(start, stop)), option=orjson.OPT_SERIALIZE_NUMPY)
        for number, row in enumerate(text[2:-2].split(b"],["), start):
            yield self.vocabulary.entries[number] + b" " + row.replace(b",", b" ") + b" \n"

    def _number(self, word: bytes) -> int:
        if not word or any(space in word for space in b" \n\t\r\v\f\0"):
            return -1
        number = int(self.vocabulary.entries.look_up(word)[0][0])
        return number if number < self.vocabulary.words else -1

    def _rows_of(self, word: bytes) -> np.ndarray:
        number = self._number(word)
        own = [number] if number >= 0 else []
        settings = self.settings
        if settings.longest == 0 or word == END or settings.buckets == 0:
            return np.array(own, np.int64)
        buckets = character_ngrams(word, max(settings.shortest, 1), settings.longest, settings.buckets)
        return np.concatenate([np.array(own, np.int64), self._bucket_rows(buckets.astype(np.int64))])

    def _bucket_rows(self, buckets: np.ndarray) -> np.ndarray:
        words = self.vocabulary.words
        if self._pruned is not None:
            rows = [self._pruned[bucket] for bucket in buckets.tolist() if bucket in self._pruned]
            return np.array(rows, np.int64) + words
        return place_rows(buckets, self._rows, words, self.input.shape[0] - 1)


def read_text(path: Path) -> WordVectors:
    """Vectors from word2vec's text format. Raises UserError, naming the line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    head, _, rest = data.partition(b"\n")
    try:
        count, dim = (int(part) for part in head.split())
    except ValueError:
        raise UserError(
            f"{path} begins with {head[:60]!r}; expected the numbers of words and columns"
        ) from None
    lines = rest.split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if len(lines) != count or dim < 1:
        raise UserError(f"{path} is truncated: it announces {count} words and holds {len(lines)}")
    words, table = [], np.empty((count, dim), np.float32)
    for number, line in enumerate(lines):
        word, *values = line.rstrip().split(b" ")
        try:
            if len(values) != dim:
                raise ValueError
            table[number] = np.array(values, dtype=np.float32)
        except ValueError:
            raise UserError(
                f"line {number + 2} of {path} must hold a word and {dim} numbers; found {len(values)} values"
            ) from None
        words.append(word)
    entries = Words.of(words)
    if len(entries) != count:
        raise UserError(f"{path} holds a word twice")
    settings = fasttext_file.FastTextSettings(dim)
    return WordVectors(settings, Vocabulary(entries, count, 0, count), Dense(table))
