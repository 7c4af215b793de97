"""A text classifier: labels of lines, by fastText's features, whatever loss it was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from optml.algorithms.blazingtext import fasttext_file
from optml.algorithms.blazingtext.quantized import Matrix
from optml.algorithms.blazingtext.vocabulary import END, Vocabulary, character_ngrams, hash_of, word_ngrams
from optml.deadline import check
from optml.formats.records import Columns

LINES = 1024  # scored at a time


@dataclass(frozen=True, slots=True)
class Texts:
    """A request: lines of text, and how many labels are wanted of each."""

    lines: Sequence[bytes]
    k: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, some: slice) -> Texts:
        return Texts(self.lines[some], self.k[some])


class Classifier:
    """settings, vocabulary, matrices: those of fastText's file.

    rows:   of which buckets `input` has rows, ascending, behind those of the words; the others share its last
            row, of zeros. None: all have one.
    pruned: bucket -> row behind those of the words, of a pruned model; the others are no features.
    """

    width = None

    def __init__(
        self,
        settings: fasttext_file.FastTextSettings,
        vocabulary: Vocabulary,
        table: Matrix,
        output: Matrix,
        rows: np.ndarray | None = None,
        pruned: Mapping[int, int] | None = None,
    ) -> None:
        self.settings = settings
        self.vocabulary = vocabulary
        self.input = table
        self.output = output
        self._rows = rows
        self._pruned = pruned
        self._hierarchical = settings.loss == fasttext_file.HIERARCHICAL

    @classmethod
    def of_file(cls, file: fasttext_file.File) -> Classifier:
        return cls(file.settings, file.vocabulary, file.input, file.output, pruned=file.pruned)

    def predict(self, batch: Texts, options: Mapping[str, str]) -> Columns:
        """The most probable labels of each line: `prob` and `label`, (n,) lists, best first; empty for a line
        without a known feature."""
        probabilities = np.empty(len(batch), object)
        labels = np.empty(len(batch), object)
        for start in range(0, len(batch), LINES):
            check()
            lines = batch.lines[start : start + LINES]
            scores, known = self.probabilities(lines)
            for place in range(len(lines)):
                k = min(batch.k[start + place], scores.shape[1]) if known[place] else 0
                top = np.argsort(-scores[place], kind="stable")[:k]
                probabilities[start + place] = scores[place, top].tolist()
                labels[start + place] = [self.vocabulary.label(label) for label in top.tolist()]
        return {"prob": probabilities, "label": labels}

    def probabilities(self, lines: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """(n, labels) float32 of each label, and which lines have a known feature (n,) bool."""
        features = self.features(lines)
        sizes = np.array([len(numbers) for numbers in features])
        hidden = np.zeros((len(lines), self.settings.dim), np.float32)
        if sizes.any():
            rows = self.input.rows(np.concatenate(features))
            owner = np.repeat(np.arange(len(lines)), sizes)
            np.add.at(hidden, owner, rows)
            hidden /= np.maximum(sizes, 1)[:, None]
        return self._likely(hidden @ self._outputs.T), sizes > 0

    def features(self, lines: Sequence[bytes]) -> list[np.ndarray]:
        """The features of each line: numbers of words, and from `vocabulary.words` on of buckets."""
        words = self.vocabulary.words
        features = []
        text = b"\n".join(b" ".join(line.split(b"\n")) for line in lines) + b"\n"
        numbers, hashed = self.vocabulary.entries.look_up(text)
        hashed = np.where(numbers == -1, self._end_hash, hashed)
        numbers = np.where(numbers == -1, self.vocabulary.end, numbers)
        ends = np.cumsum([len(line) for line in self._tokens(lines)])
        for start, stop, tokens in zip([0, *ends[:-1]], ends, self._tokens(lines), strict=True):
            line, hashes = numbers[start:stop], hashed[start:stop]
            word_mask = np.array([word < words for word in line], bool)  # labels are no features
            parts = [line[word_mask & (line >= 0)].astype(np.int64)]
            if self.settings.longest > 0:
                parts += self._inside(tokens, word_mask)
            if self.settings.word_ngrams > 1:
                ngrams = word_ngrams(
                    np.ascontiguousarray(hashes[word_mask]), self.settings.word_ngrams, self.settings.buckets
                )
                parts.append(self._bucket_rows(ngrams))
            features.append(np.concatenate(parts))
        return features

    def _tokens(self, lines: Sequence[bytes]) -> list[list[bytes]]:
        return [[*_split(line), END] for line in lines]

    def _inside(self, tokens: list[bytes], word_mask: np.ndarray) -> list[np.ndarray]:
        """Rows of the character n-grams of each token."""
        settings = self.settings
        return [
            self._bucket_rows(
                character_ngrams(token, max(settings.shortest, 1), settings.longest, settings.buckets)
            )
            for token, is_word in zip(tokens, word_mask.tolist(), strict=True)
            if is_word and token != END
        ]

    def _bucket_rows(self, buckets: np.ndarray) -> np.ndarray:
        if self._pruned is not None:
            rows = [self._pruned[bucket] for bucket in buckets.tolist() if bucket in self._pruned]
            return np.array(rows, np.int64) + self.vocabulary.words
        return place_rows(
            buckets.astype(np.int64), self._rows, self.vocabulary.words, self.input.shape[0] - 1
        )

    @cached_property
    def _end_hash(self) -> int:
        return int(np.uint32(hash_of(END)).astype(np.int32))

    @cached_property
    def _outputs(self) -> np.ndarray:
        return self.output.rows(np.arange(self.output.shape[0]))

    def _likely(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores (n, outputs), by the loss that the model was trained with."""
        if self._hierarchical:
            from optml.algorithms.blazingtext.huffman import probabilities

            return probabilities(scores, self.vocabulary.entries.counts[self.vocabulary.words :])
        if self.settings.loss == fasttext_file.SOFTMAX:
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            likely: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
            return likely
        return np.asarray(1 / (1 + np.exp(-scores.clip(-80, 80))), np.float32)

    def save(self, folder: Path) -> None:
        """Write model.bin, as fastText does."""
        labels = np.arange(self.output.shape[0])
        table = self.input.rows(np.arange(self.input.shape[0]))
        fasttext_file.write(
            folder / "model.bin", self.settings, self.vocabulary, table, self.output.rows(labels), self._rows
        )


def place_rows(buckets: np.ndarray, rows: np.ndarray | None, words: int, blank: int) -> np.ndarray:
    """The rows of buckets where only those in `rows` (ascending) have one, behind the words'; others share
    the row `blank`, of zeros. rows None: all have."""
    if rows is None:
        return buckets + words
    if not len(rows):
        return np.full(len(buckets), blank)
    place = np.minimum(np.searchsorted(rows, buckets), len(rows) - 1)
    return np.where(rows[place] == buckets, words + place, blank)


def _split(line: bytes) -> list[bytes]:
    return line.replace(b"\0", b" ").split()
