"""The training text as numbers: read once, counted, and kept in memory as int32."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from optml.algorithms.blazingtext import manifest
from optml.algorithms.blazingtext.text import Text
from optml.algorithms.blazingtext.vocabulary import LABEL, LINE_END, Vocabulary, Words
from optml.algorithms.sources import Source
from optml.errors import UserError

log = logging.getLogger(__name__)

MANY = 100  # lines from which labels that hardly ever come twice are odd
SEARCHED = 1 << 16  # tokens that are looked at together for the ends of lines


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens, and how many come before it in the corpus."""

    tokens: np.ndarray  # (n,) int32
    position: int


@dataclass(frozen=True)
class Corpus:
    """pieces: int32 arrays, of whole lines where the text is labelled. Tokens are words by their number,
    LINE_END, and labels: LINE_END - 1 - l. Words that are not kept are left out of plain text; a labelled one
    keeps them for its n-grams.   tokens: in all pieces."""

    vocabulary: Vocabulary
    pieces: list[np.ndarray]
    tokens: int

    def fingerprint(self) -> np.ndarray:
        """(3,) int64, the same for the same text: its words, its tokens, a checksum of words and counts."""
        words = self.vocabulary.entries.blob[: self.vocabulary.entries.size]
        content = zlib.crc32(self.vocabulary.counts.tobytes(), zlib.crc32(words.tobytes()))
        return np.array([self.vocabulary.words, self.vocabulary.tokens, content], np.int64)

    def require_same(self, fingerprint: np.ndarray) -> None:
        """Raise UserError unless a checkpoint with this fingerprint was made of the same text."""
        words, tokens, _ = self.fingerprint().tolist()
        if not np.array_equal(fingerprint, self.fingerprint()):
            raise UserError(
                f"channel 'train' holds {words} words in {tokens} tokens; the checkpoint is of another text "
                f"({fingerprint[0]} words, {fingerprint[1]} tokens): give the text that the job began with, "
                "or remove its checkpoints"
            )

    def shuffled(self, size: int, seed: tuple[int, int]) -> Iterator[Segment]:
        """The lines of a corpus of one piece, each once, in an order drawn by the seed: text that comes
        sorted by its labels would be learnt one label after the other. In runs of about `size` tokens."""
        (tokens,) = self.pieces
        starts = _line_starts(tokens)
        order = np.arange(len(starts) - 1, dtype=np.int32 if len(starts) < 2**31 else np.int64)
        np.random.default_rng(seed).shuffle(order)
        first, position = 0, 0
        while first < len(order):
            lines = order[first : first + size]  # more than are needed
            ends = np.cumsum(starts[lines + 1] - starts[lines], dtype=np.int64)
            count = max(int(np.searchsorted(ends, size)), 1)
            lines, ends = lines[:count], ends[:count]
            begins = starts[lines].astype(np.int64)
            before = np.concatenate([[0], ends[:-1]])
            places = np.repeat(begins - before, ends - before) + np.arange(ends[-1])
            yield Segment(tokens[places], position)
            first, position = first + count, position + int(ends[-1])

    def drawn(self, size: int, seed: tuple[int, int]) -> Iterator[Segment]:
        """The runs of `segments`, each once, in an order drawn by the seed: text that comes sorted by its
        authors or subjects would be learnt one after the other. The runs are the same for every seed."""
        runs = [segment.tokens for segment in self.segments(size)]
        position = 0
        for number in np.random.default_rng(seed).permutation(len(runs)):
            yield Segment(runs[number], position)
            position += len(runs[number])

    def segments(self, size: int) -> Iterator[Segment]:
        """The corpus in runs of about `size` tokens at most, of whole lines where there are lines. Those of a
        piece are alike in length: threads that take one each wait for the longest."""
        position = 0
        for piece in self.pieces:
            start = 0
            parts = -(-len(piece) // size)
            while start < len(piece):
                stop = _behind_line(piece, start + -(-len(piece) // parts) - 1)
                yield Segment(piece[start:stop], position + start)
                start = stop
            position += len(piece)


def _behind_line(tokens: np.ndarray, at: int) -> int:
    """The place behind the first end of a line from a place on, or behind all tokens."""
    while at < len(tokens):
        ends = np.flatnonzero(tokens[at : at + SEARCHED] == LINE_END)
        if len(ends):
            return at + int(ends[0]) + 1
        at += SEARCHED
    return len(tokens)


def _line_starts(tokens: np.ndarray) -> np.ndarray:
    """The first place of each line, and the end of the last, in half the memory of NumPy's own numbers."""
    kind = np.uint32 if len(tokens) < 2**32 else np.int64
    parts = [np.zeros(1, kind)]
    for start in range(0, len(tokens), SEARCHED):
        ends = np.flatnonzero(tokens[start : start + SEARCHED] == LINE_END)
        parts.append((ends + (start + 1)).astype(kind))
    return np.concatenate(parts)


def read(source: Source, labelled: bool, min_count: int, ngrams: bool) -> Corpus:
    """Read the training channel.

    labelled: words that begin with `__label__` are labels.   ngrams: keep rare words for the n-grams.
    Raises UserError for text that nothing can be learnt from.
    """
    text = Text(source, whole=labelled)
    words = Words()
    interned = (words.intern(block) for block in text.blocks())
    pieces = [_joined(interned)] if labelled else list(interned)
    if labelled:
        _require_labels(words, text)
    vocabulary, new = Vocabulary.count(words, text.lines, min_count, labelled)
    if labelled and vocabulary.labels == 1:
        (label,) = np.flatnonzero(words.begins_with(LABEL)).tolist()
        log.warning(
            "Channel '%s' has one label only, '%s': every answer will be this one, and an accuracy of 1 says "
            "nothing", source.name, words[label].decode("utf-8", "replace"),
        )  # fmt: skip
    log.info("Read %dM words", round(vocabulary.tokens / 1e6))
    log.info("Number of words:  %d", vocabulary.words)
    if vocabulary.words - (vocabulary.end >= 0) < 1:
        most = int(np.delete(words.counts[: len(words)], _number_of_end(words)).max(initial=0))
        raise UserError(
            f"the vocabulary is empty: no word of channel '{source.name}' occurs min_count={min_count} times "
            f"(the most frequent one does {most} times); lower min_count, or give more text"
        )
    size, labels = vocabulary.words, vocabulary.labels
    behind = new >= size + labels  # not kept
    code = new.copy()
    code[(new >= size) & ~behind] = LINE_END - 1 - (new[(new >= size) & ~behind] - size)
    dropped = np.zeros_like(behind) if labelled and ngrams else behind
    for place, piece in enumerate(pieces):
        pieces[place] = _renumbered(piece, code, dropped)
    return Corpus(vocabulary, pieces, sum(map(len, pieces)))


def _joined(pieces: Iterator[np.ndarray]) -> np.ndarray:
    """All pieces in one array, as they come. It grows in its place: copies would take its memory twice."""
    whole, size = np.empty(0, np.int32), 0
    for piece in pieces:
        if size + len(piece) > len(whole):
            whole.resize(max(size + len(piece), size + size // 8), refcheck=False)
        whole[size : size + len(piece)] = piece
        size += len(piece)
    whole.resize(size, refcheck=False)
    return whole


def _renumbered(tokens: np.ndarray, code: np.ndarray, dropped: np.ndarray) -> np.ndarray:
    """Words by their new numbers, in the same memory; without those that are dropped."""
    size = 0
    for start in range(0, len(tokens), SEARCHED):
        part = tokens[start : start + SEARCHED]
        ends = part == LINE_END
        part = np.where(ends, np.int32(LINE_END), code[part])[ends | ~dropped[part]]
        tokens[size : size + len(part)] = part
        size += len(part)
    return tokens[:size]


def _number_of_end(words: Words) -> int:
    from optml.algorithms.blazingtext.vocabulary import END

    return int(words.look_up(END)[0][0])


def _require_labels(words: Words, text: Text) -> None:
    quoted = words.begins_with(b'"' + LABEL)
    first = text.first.decode("utf-8", "replace")[:200]
    if quoted.any():
        raise UserError(
            f"channel '{text.source.name}' has labels inside quotes; its first line is '{first}': "
            "mode 'supervised' takes plain text, not CSV: one line '__label__name words ...' for each text"
        )
    label_mask = words.begins_with(LABEL)
    if label_mask.any() and all(b"," in words[number] for number in np.flatnonzero(label_mask).tolist()):
        raise UserError(
            f"channel '{text.source.name}' has a comma in every label, as CSV has; its first line is "
            f"'{first}': mode 'supervised' takes plain text: '__label__name words ...', parted by blanks"
        )
    if not label_mask.any():
        piped = f"; of an augmented manifest, {manifest.EXPECTED}" if text.source.mode == "Pipe" else ""
        raise UserError(
            f"channel '{text.source.name}' has no label: mode 'supervised' needs tokens that begin with "
            f"__label__, as in '__label__4 linux ready for prime time'; its first line is '{first}'{piped}"
        )
    number = int(words.look_up(LABEL)[0][0])
    if number >= 0:
        log.warning(
            "Channel '%s' has %d labels without a name: leave no blank between __label__ and the name; its "
            "first line is '%s'", text.source.name, words.counts[number], first,
        )  # fmt: skip
    distinct = int(np.count_nonzero(label_mask))
    if 2 * distinct > text.lines > MANY:
        log.warning(
            "Channel '%s' has %d labels for %d lines: is the text taken for the label?",
            text.source.name, distinct, text.lines,
        )  # fmt: skip
    if label_mask.all():
        raise UserError(
            f"channel '{text.source.name}' holds labels and no words; its first line is '{first}'"
        )
