"""The channels as batches of pairs of like lengths."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import share
from optml.algorithms.seq2seq.hyperparameters import Hyperparameters
from optml.algorithms.seq2seq.records import Pairs, read, vocabularies
from optml.algorithms.sequences import buckets
from optml.algorithms.sequences.ragged import Sequences
from optml.algorithms.sources import Source

log = logging.getLogger(__name__)

BLEU_SEED = 42  # of the pairs that are translated


@dataclass(frozen=True)
class Batch:
    """n pairs, longest targets first.

    drawn: (n,) bool, those of a validation channel that are translated.   epoch: the pass over the data,
    from 0.
    """

    sources: Sequences
    targets: Sequences
    drawn: np.ndarray
    epoch: int = 0

    def __len__(self) -> int:
        return len(self.sources)

    @cached_property
    def tokens(self) -> int:
        """Of the targets, `</s>` counted."""
        return len(self.targets.ids) + len(self)


def data(source: Source, setting: Setting) -> Any:
    """The data of one channel (`algorithms.base.Training.data`), read at once."""
    pairs = read(source, vocabularies(setting).sizes)
    dealt = share(source.distribution, setting.cluster)
    channel = Channel(pairs, setting, dealt, train=source.name == "train")
    if setting.cluster.rank == 0 and len(pairs):
        channel.describe(source.name)
    return channel


class Channel:
    """pairs: cut to the longest that are looked at.   dealt: (r, n): of every n batches the r-th is for this
    process."""

    def __init__(self, pairs: Pairs, setting: Setting, dealt: tuple[int, int], *, train: bool) -> None:
        hyperparameters: Hyperparameters = setting.hyperparameters
        longest = (hyperparameters.max_seq_len_source, hyperparameters.max_seq_len_target)
        self.cut = [
            int((pairs.sources.lengths > longest[0]).sum()),
            int((pairs.targets.lengths >= longest[1]).sum()),
        ]
        self.pairs = Pairs(pairs.sources.cut(longest[0]), pairs.targets.cut(longest[1] - 1))
        self._longest = longest
        self._train = train
        self._dealt = dealt
        self._seed = (setting.seed, setting.cluster.rank // dealt[1])
        self._size = max(1, hyperparameters.batch_size // setting.cluster.processes)
        first, second = self.lengths
        self.ratios = second / np.maximum(first, 1)
        mean = float(self.ratios.mean()) if len(first) else 1.0
        self._buckets = buckets.parallel(longest, hyperparameters.buckets, mean)
        self._places = buckets.assign(first, second, self._buckets)
        self._drawn = np.zeros(len(first), bool)
        if not train:  # once and for all
            most = hyperparameters.translated
            size = len(first) if most is None else min(most, len(first))
            self._drawn[np.random.default_rng(BLEU_SEED).choice(len(first), size, replace=False)] = True

    @property
    def lengths(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) of sources and of targets, `<s>` or `</s>` counted."""
        return self.pairs.sources.lengths, self.pairs.targets.lengths + 1

    def epoch(self, number: int) -> Iterator[Batch]:
        count = len(self.pairs)
        generator = np.random.default_rng((*self._seed, number)) if self._train else None
        order = np.arange(count) if generator is None else generator.permutation(count)
        rank, sharers = self._dealt
        for turn, rows in enumerate(buckets.batches(order, self._places, self._size, generator)):
            if turn % sharers == rank:
                yield self.batch(rows, number)

    def batch(self, rows: np.ndarray, epoch: int = 0) -> Batch:
        """The pairs of these numbers, longest targets first."""
        rows = rows[np.argsort(-self.pairs.targets.lengths[rows], kind="stable")]
        return Batch(self.pairs.sources.take(rows), self.pairs.targets.take(rows), self._drawn[rows], epoch)

    def describe(self, name: str) -> None:
        """Print what the channel holds."""
        first, second = self.lengths
        log.info(
            "Channel '%s': %d pairs, %d source and %d target tokens",
            name,
            len(first),
            first.sum(),
            second.sum(),
        )
        for line in buckets.describe(self._buckets, self._places, first, second, self._size):
            log.info("%s", line)
        if any(self.cut):
            log.warning(
                "Channel '%s': %d sources are cut to max_seq_len_source=%d and %d targets to "
                "max_seq_len_target=%d", name, self.cut[0], self._longest[0], self.cut[1], self._longest[1],
            )  # fmt: skip
