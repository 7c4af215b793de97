"""The words and labels of a corpus: counted, ordered and hashed as fastText does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from optml.algorithms.kernels.words import tokens_cpu
from optml.algorithms.kernels.words.tokens_cpu import LINE_END

END = b"</s>"  # the word that the end of a line counts as
LABEL = b"__label__"


class Words:
    """A growing set of distinct words: numbers in the order of their first appearance, counts, hashes."""

    def __init__(self, capacity: int = 1 << 12) -> None:
        self.blob = np.empty(8 * capacity, np.uint8)
        self.starts = np.zeros(capacity + 1, np.int64)
        self.hashes = np.empty(capacity, np.uint32)
        self.counts = np.zeros(capacity, np.int64)
        self.table = np.full(4 * capacity, -1, np.int32)
        self._used = np.zeros(1, np.int64)

    @classmethod
    def of(cls, words: Sequence[bytes]) -> Words:
        """These words, which must be distinct and no token separators, numbered in their order."""
        made = cls()
        made.intern(b"\n".join(words))
        return made

    @classmethod
    def of_arrays(cls, blob: np.ndarray, starts: np.ndarray, hashes: np.ndarray, counts: np.ndarray) -> Words:
        """Words that are known to be distinct, as arrays (n + 1 starts)."""
        words = cls.__new__(cls)
        words.blob, words.starts, words.hashes, words.counts = blob, starts, hashes, counts
        words._used = np.array([len(hashes)], np.int64)
        words.table = np.full(_power_above(2 * len(hashes)), -1, np.int32)
        tokens_cpu.fill_table(words.table, hashes, len(hashes))
        return words

    def __len__(self) -> int:
        return int(self._used[0])

    def __getitem__(self, number: int) -> bytes:
        return self.blob[self.starts[number] : self.starts[number + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    @property
    def size(self) -> int:
        """Bytes of all words together."""
        return int(self.starts[len(self)])

    def intern(self, text: bytes) -> np.ndarray:
        """The numbers of a text's tokens, LINE_END for a new line; new words are added, all are counted."""
        out = np.empty(len(text), np.int32)
        self._make_room(len(text) // 2 + 1, len(text))
        count = tokens_cpu.intern(
            np.frombuffer(text, np.uint8), self.table, self.hashes, self.starts, self.blob, self.counts,
            self._used, out,
        )  # fmt: skip
        return out[:count].copy()

    def look_up(self, text: bytes) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of a text's tokens, UNKNOWN for words that are not in the set, and all their hashes."""
        out, hashed = np.empty(len(text), np.int32), np.empty(len(text), np.int32)
        count = tokens_cpu.look_up(
            np.frombuffer(text, np.uint8), self.table, self.hashes, self.starts, self.blob, out, hashed
        )
        return out[:count], hashed[:count]

    def select(self, numbers: np.ndarray) -> Words:
        """These words, in this order."""
        lengths = np.diff(self.starts[: len(self) + 1])[numbers]
        starts = np.zeros(len(numbers) + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        places = np.repeat(self.starts[numbers] - starts[:-1], lengths) + np.arange(starts[-1])
        return Words.of_arrays(self.blob[places], starts, self.hashes[numbers], self.counts[numbers])

    def begins_with(self, prefix: bytes) -> np.ndarray:
        """Which of the words do: (n,) bool."""
        starts, count = self.starts, len(self)
        mask = np.diff(starts[: count + 1]) >= len(prefix)
        for place in range(len(prefix)):
            at = np.minimum(starts[:count] + place, len(self.blob) - 1)
            mask &= self.blob[at] == prefix[place]
        return mask

    def _make_room(self, words: int, size: int) -> None:
        needed = len(self) + words
        if needed > len(self.hashes):
            room = max(needed, 2 * len(self.hashes))
            self.starts = _longer(self.starts, room + 1)
            self.hashes = _longer(self.hashes, room)
            self.counts = _longer(self.counts, room)
        if self.size + size > len(self.blob):
            self.blob = _longer(self.blob, max(self.size + size, 2 * len(self.blob)))
        if 2 * needed > len(self.table):
            self.table = np.full(_power_above(2 * needed), -1, np.int32)
            tokens_cpu.fill_table(self.table, self.hashes, len(self))


class Vocabulary:
    """What training and serving know of the words: first the words that are kept, by falling count, then the
    labels, by falling count; behind them, while training, the words that are not kept, for their hashes.

    entries:   all of them.
    words, labels: how many.
    tokens:    of the corpus, line ends and labels among them.
    """

    def __init__(self, entries: Words, words: int, labels: int, tokens: int) -> None:
        self.entries = entries
        self.words = words
        self.labels = labels
        self.tokens = tokens
        ends = entries.look_up(END)[0]
        self.end = int(ends[0]) if 0 <= ends[0] < words else -1  # the number of END; -1: it is not kept

    @classmethod
    def count(cls, words: Words, lines: int, min_count: int, labelled: bool) -> tuple[Vocabulary, np.ndarray]:
        """Keep and order what was found in a corpus of so many lines; `labelled`: words that begin with LABEL
        are labels. Returns the new number of each word as well."""
        number = int(words.intern(END)[0])
        words.counts[number] += lines - 1
        size = len(words)
        counts = words.counts[:size]
        label = words.begins_with(LABEL) if labelled else np.zeros(size, bool)
        frequent = ~label & (counts >= max(min_count, 1))
        kind = np.where(frequent, 0, np.where(label, 1, 2))
        order = np.lexsort((np.arange(size), -counts, kind))
        new = np.empty(size, np.int32)
        new[order] = np.arange(size, dtype=np.int32)
        vocabulary = cls(words.select(order), int(frequent.sum()), int(label.sum()), int(counts.sum()))
        return vocabulary, new

    @property
    def counts(self) -> np.ndarray:
        """(words,) int64."""
        return self.entries.counts[: self.words]

    @property
    def hashes(self) -> np.ndarray:
        """Of all entries, as int32."""
        return self.entries.hashes[: len(self.entries)].view(np.int32)

    def label(self, number: int) -> str:
        return self.entries[self.words + number].decode("utf-8", "replace")

    def compact(self) -> Vocabulary:
        """Without the words that are not kept."""
        size = self.words + self.labels
        if size == len(self.entries):
            return self
        return Vocabulary(self.entries.select(np.arange(size)), self.words, self.labels, self.tokens)

    def ngrams(self, shortest: int, longest: int, buckets: int) -> tuple[np.ndarray, np.ndarray]:
        """The buckets of every word's character n-grams: (words + 1) starts into them, and (n,) int32."""
        starts = np.zeros(self.words + 1, np.int64)
        parts = []
        for number in range(self.words):
            grams = () if number == self.end else character_ngrams(
                self.entries[number], shortest, longest, buckets
            )  # fmt: skip
            parts.append(grams)
            starts[number + 1] = starts[number] + len(grams)
        return starts, np.concatenate(parts).astype(np.int32) if parts else np.empty(0, np.int32)


def hash_of(word: bytes) -> int:
    """fastText's hash of a word, 32 bits without sign."""
    return int(tokens_cpu.fnv(np.frombuffer(word, np.uint8), 0, len(word)))


def character_ngrams(word: bytes, shortest: int, longest: int, buckets: int) -> np.ndarray:
    """The buckets of a word's character n-grams, (n,) int32."""
    bracketed = b"<" + word + b">"
    out = np.empty(len(bracketed) * max(min(longest, len(bracketed)), 1), np.int32)
    text = np.frombuffer(bracketed, np.uint8)
    return out[: tokens_cpu.character_ngrams(text, 0, len(text), shortest, longest, buckets, out)]


def word_ngrams(hashed: np.ndarray, longest: int, buckets: int) -> np.ndarray:
    """The buckets of the n-grams of words with these (n,) int32 hashes, in fastText's order."""
    out = np.empty(len(hashed) * max(min(longest, len(hashed)), 1), np.int32)
    return out[: tokens_cpu.word_ngrams(hashed, 0, len(hashed), longest, buckets, out, 0)]


def _longer(array: np.ndarray, size: int) -> np.ndarray:
    longer = np.empty(size, array.dtype)
    longer[: len(array)] = array
    return longer


def _power_above(number: int) -> int:
    return 1 << max(4, (number - 1).bit_length())


__all__ = ["END", "LABEL", "LINE_END", "Vocabulary", "Words", "character_ngrams", "hash_of", "word_ngrams"]
