"""The channels as batches of pairs; negative ones drawn anew for each epoch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import share
from optml.algorithms.object2vec.hyperparameters import Hyperparameters
from optml.algorithms.object2vec.records import Pairs, read
from optml.algorithms.sequences import buckets
from optml.algorithms.sequences.ragged import Sequences
from optml.algorithms.sources import Source
from optml.errors import UserError

log = logging.getLogger(__name__)

SCORED = 1024  # pairs that are scored at a time


@dataclass(frozen=True, slots=True)
class Batch:
    """n pairs.

    sides:  in0 and in1, cut to their longest.
    repeat: (n,) int64, which of the in0 each pair has: of a pair and its negatives it is the same one,
            encoded once; None: each pair has its own.
    labels: (n,) float32.
    """

    sides: tuple[Sequences, Sequences]
    repeat: np.ndarray | None
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def data(source: Source, setting: Setting) -> Any:
    """The data of one channel (`algorithms.base.Training.data`). It is read at once: what is wrong with a
    later channel is better known before training than after."""
    hyperparameters: Hyperparameters = setting.hyperparameters
    pairs = read(source, hyperparameters)
    train = source.name == "train"
    place, sharers = share(source.distribution, setting.cluster)
    if (
        not source.stopped() and not len(pairs) and sharers == setting.cluster.size
    ):  # else others may have some
        raise UserError(f"channel '{source.name}' is empty: there are no pairs in its files")
    channel = Channel(pairs, setting, (place, sharers), train=train)
    if setting.cluster.rank == 0 and len(pairs):
        channel.describe(source.name)
    return channel


class Channel:
    """dealt: (r, n): of every n batches, the r-th is for this process."""

    def __init__(self, pairs: Pairs, setting: Setting, dealt: tuple[int, int], *, train: bool) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        longest = [encoder.max_seq_len for encoder in hyperparameters.encoders]
        self.labels = pairs.labels
        self._lengths = [side.lengths for side in pairs.sides]
        self.sides = tuple(side.cut(most) for side, most in zip(pairs.sides, longest, strict=True))
        self._longest = longest
        self._dealt = dealt
        self._rate = hyperparameters.negative_sampling_rate if train else 0
        self._train = train
        self._seed = (setting.seed, setting.cluster.rank // dealt[1])
        self._size = max(1, hyperparameters.mini_batch_size // setting.cluster.processes) if train else SCORED
        first, second = (np.maximum(side.lengths, 1) for side in self.sides)
        ratio = float((second / first).mean()) if len(pairs) else 1.0
        self._buckets = buckets.parallel((longest[0], longest[1]), hyperparameters.buckets, ratio, least=1)
        if self._rate and len(pairs) == 1:
            raise UserError(
                "negative_sampling_rate takes in1 of other pairs, but channel 'train' holds a single one: "
                "give more pairs, or negative_sampling_rate=0"
            )

    def epoch(self, number: int) -> Iterator[Batch]:
        first, second, labels = self._pairs(number)
        generator = np.random.default_rng((*self._seed, number, 1)) if self._train else None
        places = buckets.assign(self.sides[0].lengths[first], self.sides[1].lengths[second], self._buckets)
        rank, sharers = self._dealt
        order = np.arange(len(labels))
        for turn, rows in enumerate(buckets.batches(order, places, self._size, generator)):
            if turn % sharers == rank:
                yield self._batch(first[rows], second[rows], labels[rows])

    def labels_of_epoch(self) -> tuple[float, int]:
        """The sum of the labels of an epoch's pairs, and their number, with negative ones (labelled 0)."""
        negatives = self._rate * int(np.count_nonzero(self.labels))
        return float(self.labels.sum(dtype=np.float64)), len(self.labels) + negatives

    def _pairs(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Numbers (m,) of in0 and of in1, and labels, of the pairs of an epoch in their order: each negative
        pair follows the positive one that it is made of."""
        count = len(self.labels)
        if not self._train:
            return np.arange(count), np.arange(count), self.labels
        generator = np.random.default_rng((*self._seed, number))
        order = generator.permutation(count)
        if not self._rate:
            return order, order, self.labels[order]
        copies = np.where(self.labels[order] != 0, 1 + self._rate, 1)
        first = np.repeat(order, copies)
        negative = np.ones(len(first), bool)
        negative[np.cumsum(copies) - copies] = False
        others = generator.integers(0, count - 1, int(negative.sum()))
        second = first.copy()
        second[negative] = others + (others >= first[negative])  # of any pair but its own
        return first, second, np.where(negative, np.float32(0), self.labels[first])

    def _batch(self, first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Batch:
        repeat = None
        if self._rate:
            first, repeat = np.unique(first, return_inverse=True)
            repeat = repeat.reshape(-1)
        return Batch((self.sides[0].take(first), self.sides[1].take(second)), repeat, labels)

    def describe(self, name: str) -> None:
        """Print what AWS's image prints of a channel."""
        words = [int(side.bounds[-1]) for side in self.sides]
        log.info("Channel '%s':", name)
        log.info("Source words: %d", words[0])
        log.info("Target words: %d", words[1])
        first, second = (side.lengths for side in self.sides)
        places = buckets.assign(first, second, self._buckets)
        log.info("Total: %d samples in %d buckets", len(self.labels), len(np.unique(places)))
        for line in buckets.describe(self._buckets, places, first, second, self._size):
            log.info("%s", line)
        cut = [
            int((lengths > most).sum()) for lengths, most in zip(self._lengths, self._longest, strict=True)
        ]
        if any(cut):
            log.warning(
                "One or more sequences have been truncated because they exceeded max_seq_len: %d of in0 "
                "(enc0_max_seq_len=%d), %d of in1 (enc1_max_seq_len=%d)",
                cut[0], self._longest[0], cut[1], self._longest[1],
            )  # fmt: skip
        if self._rate:
            log.info("Negative sampling enabled with sampling rate %d", self._rate)
        else:
            log.info("Negative sampling not used")
