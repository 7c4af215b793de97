"""The channels as batches of samples."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import share
from optml.algorithms.ip_insights import pairs
from optml.algorithms.ip_insights.hyperparameters import Hyperparameters
from optml.algorithms.ip_insights.sampling import BLOCK, Samples, expand
from optml.algorithms.ip_insights.sketch import Sketch
from optml.algorithms.sources import Source
from optml.errors import UserError

log = logging.getLogger(__name__)

SCORED = 1 << 16  # validation samples that are scored at a time
CROWDED = 0.75  # entities for each vector, from which a warning is due: half is advised


@dataclass(frozen=True, slots=True)
class Batch:
    """The samples of an update, and which share of the epoch is past."""

    samples: Samples
    past: float

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, slots=True)
class Observed:
    """All pairs of a channel, 8 bytes each.

    parts: (rows (n,) uint32 of the entity table, addresses (n,) uint32), as they were read.
    entities: those that occur.
    """

    parts: list[tuple[np.ndarray, np.ndarray]]
    entities: Sketch

    def __len__(self) -> int:
        return sum(len(rows) for rows, _ in self.parts)

    def blocks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The pairs in runs of `size`."""
        rows: list[np.ndarray] = []
        addresses: list[np.ndarray] = []
        missing = size
        for more, some in self.parts:
            at = 0
            while at < len(more):
                until = min(at + missing, len(more))
                rows.append(more[at:until])
                addresses.append(some[at:until])
                missing -= until - at
                at = until
                if missing == 0:
                    yield np.concatenate(rows), np.concatenate(addresses)
                    rows, addresses, missing = [], [], size
        if rows:
            yield np.concatenate(rows), np.concatenate(addresses)


def data(source: Source, setting: Setting) -> Channel:
    """The data of one channel (`algorithms.base.Training.data`)."""
    return TrainChannel(source, setting) if source.name == "train" else ValidationChannel(source, setting)


class Channel:
    """A channel, read once: a few lines would be found bad after hours otherwise.

    On several hosts each takes every H-th batch of what all of them have.
    """

    def __init__(self, source: Source, setting: Setting) -> None:
        self._source = source
        self._seed = setting.seed
        self._cluster = setting.cluster
        self._hyperparameters: Hyperparameters = setting.hyperparameters
        self._rank, self._hosts = share(source.distribution, setting.cluster)
        self._shard = setting.cluster.rank // self._hosts

    @cached_property
    def observed(self) -> Observed:
        """Its pairs. They end early where the job is told to stop; then nothing is made of them.

        Raises UserError for a line that is no pair, and where there are no pairs on any host."""
        count = self._hyperparameters.num_entity_vectors
        observed = Observed([], Sketch.empty(count))
        for piece in pairs.read(self._source.streams()):
            if self._source.stopped():
                return observed
            observed.parts.append((piece.rows(count), piece.addresses))
            observed.entities.add(piece.hashes)
        if len(observed):
            self._announce(observed)
        elif not self._source.stopped() and (
            self._cluster.size == 1 or self._source.distribution == "FullyReplicated"
        ):
            raise UserError(f"channel '{self._source.name}' is empty: there are no pairs in its data")
        return observed

    def _announce(self, observed: Observed) -> None:
        entities, count = observed.entities.count(), self._hyperparameters.num_entity_vectors
        log.info(
            "Channel '%s' holds %d pairs of about %d entities: %.1f MB",
            self._source.name, len(observed), entities, 8e-6 * len(observed),
        )  # fmt: skip
        if self._source.name == "train" and entities > max(CROWDED * count, 1):
            log.warning(
                "About %d entities share num_entity_vectors=%d vectors, so that many have one in common; "
                "twice as many vectors as entities are advised",
                entities, count,
            )  # fmt: skip


class TrainChannel(Channel):
    """Blocks of about two million samples, shuffled; each is cut into batches, of which the last may be
    smaller. Negative samples are new in each epoch."""

    @cached_property
    def _size(self) -> int:
        """Samples of a batch on this device."""
        return max(1, self._hyperparameters.mini_batch_size // self._cluster.processes)

    def epoch(self, number: int) -> Iterator[Batch]:
        hyperparameters = self._hyperparameters
        turn = samples_past = 0
        past = 0.0
        total = (1 + hyperparameters.negatives) * len(self.observed)
        pairs_of_block = max(1, BLOCK // (1 + hyperparameters.negatives))
        for place, (rows, addresses) in enumerate(self.observed.blocks(pairs_of_block)):
            samples = expand(
                rows,
                addresses,
                hyperparameters.random_negative_sampling_rate,
                hyperparameters.shuffled_negative_sampling_rate,
                (self._seed, number, place, self._shard),
            )
            for start in range(0, len(samples), self._size):
                if turn % self._hosts == 0:
                    past = (samples_past + start) / total  # the same for all hosts' batches of an update
                if turn % self._hosts == self._rank:
                    yield Batch(samples[start : start + self._size], past)
                turn += 1
            samples_past += len(samples)


class ValidationChannel(Channel):
    """Each pair and one with a random address, the same in each epoch."""

    def epoch(self, number: int) -> Iterator[Samples]:
        for place, (rows, addresses) in enumerate(self.observed.blocks(SCORED // 2)):
            if place % self._hosts == self._rank:
                yield expand(rows, addresses, 1, 0, (self._seed, place, self._shard))
