"""The channels as batches: runs of the training text, the validation text, files of word pairs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.blazingtext import corpus
from optml.algorithms.blazingtext.corpus import Corpus, Segment
from optml.algorithms.blazingtext.similarity import Pairs
from optml.algorithms.blazingtext.text import Text
from optml.algorithms.blazingtext.vocabulary import LINE_END, Words
from optml.algorithms.cluster import share
from optml.algorithms.sources import Source

log = logging.getLogger(__name__)

TOGETHER = 1 << 17  # tokens that a host learns from before hosts agree, and a GPU at once
AGREE = 1 << 16  # tokens that the threads of a host learn from before they agree; more cost quality
ROUNDS = 32  # of an epoch, at least: a small text is learnt from in shorter runs
SHORTEST = 1 << 10  # tokens of one thread's run, however many threads there are
# Labelled texts are smaller and their learning rates larger.
LABELLED_ROUNDS, LABELLED_SHORTEST = 64, 1 << 8


def data(source: Source, setting: Setting) -> Any:
    """The data of one channel (`algorithms.base.Training.data`)."""
    if source.name == "train":
        return TrainChannel(source, setting)
    return WordPairs(source) if source.name == "evaluation" else ValidationChannel(source)


@dataclass(frozen=True, slots=True)
class Block:
    """What a host learns from before hosts agree. turns: the segments that its threads take side by side, one
    each; then they agree."""

    turns: list[list[Segment]]
    epoch: int

    @property
    def segments(self) -> list[Segment]:
        return [segment for turn in self.turns for segment in turn]

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(segment.tokens == LINE_END)) for segment in self.segments)


class TrainChannel:
    """Reads the text once, whatever the mode and the number of epochs; of H processes that have the same text
    each takes every H-th block."""

    def __init__(self, source: Source, setting: Setting) -> None:
        self._source = source
        self._hyperparameters = setting.hyperparameters
        self._seed = setting.seed
        self._on_cpu = setting.device == "cpu"
        self._rank, self._hosts = share(source.distribution, setting.cluster)

    @cached_property
    def corpus(self) -> Corpus:
        hyperparameters = self._hyperparameters
        text = corpus.read(
            self._source,
            hyperparameters.supervised,
            hyperparameters.min_count,
            hyperparameters.word_ngrams > 1,
        )
        if self._source.mode == "Pipe":
            log.info(
                "The FIFO is read once: %d tokens stay in memory as %.1f MB for %d epochs",
                text.tokens, 4e-6 * text.tokens, hyperparameters.epochs,
            )  # fmt: skip
        return text

    def epoch(self, number: int) -> Iterator[Block]:
        from optml.algorithms.kernels.machine.threads import count

        text, threads = self.corpus, count()
        labelled = self._hyperparameters.supervised
        rounds, shortest = (LABELLED_ROUNDS, LABELLED_SHORTEST) if labelled else (ROUNDS, SHORTEST)
        together = min(TOGETHER, text.tokens // (self._hosts * rounds))
        size = max(shortest, (min(AGREE, together) if self._on_cpu else together) // threads)
        turns = max(together // (size * threads), 1)
        segments = (text.shuffled if labelled else text.drawn)(size, (self._seed, number))
        number_of_block = 0
        while block := [side for _ in range(turns) if (side := list(islice(segments, threads)))]:
            if number_of_block % self._hosts == self._rank:
                yield Block(block, number)
            number_of_block += 1


@dataclass(frozen=True, slots=True)
class Held:
    """A validation text: its words in the order in which they come, and its tokens, by their numbers."""

    words: Words
    pieces: list[np.ndarray]
    lines: int

    def __len__(self) -> int:
        return self.lines


class ValidationChannel:
    """The text of a validation channel, read once and kept: a FIFO cannot be read again."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text: Held | None = None

    def epoch(self, number: int) -> Iterator[Held]:
        if self._text is None:
            log.info("Loading validation data from channel '%s'", self._source.name)
            words, pieces, lines = Words(), [], 0
            for block in Text(self._source, whole=True).blocks():
                pieces.append(words.intern(block))
                lines += block.count(b"\n")
            if self._source.stopped():
                return
            self._text = Held(words, pieces, lines)
        yield self._text


class WordPairs:
    """The files of the evaluation channel."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def epoch(self, number: int) -> Iterator[Pairs]:
        for name, stream in self._source.streams():
            yield Pairs.parse(stream.read(), name)
