"""What algorithms read: channels as they come, tables of rows, batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable


class Data(Protocol):
    """The batches of one channel on this host. What one batch holds is between `data` and `learner`, but
    `len(batch)` is the number of its records, and learners see none of 0; for tabular algorithms it is
    `Records` of exactly `mini_batch_size` rows (the last may hold fewer)."""

    def epoch(self, number: int) -> Iterator[Any]: ...


@runtime_checkable
class Seekable(Protocol):
    """`Data` of which the first batches of an epoch can be left out without making them, in a job that goes
    on from a checkpoint."""

    def epoch_from(self, number: int, first: int) -> Iterator[Any]: ...


def batches(data: Data, number: int, first: int) -> Iterator[Any]:
    """The batches of an epoch behind the first so many."""
    if isinstance(data, Seekable):
        return data.epoch_from(number, first)
    return islice(data.epoch(number), first, None)


class Source(Protocol):
    """One channel as it comes, for an algorithm with `data` of its own: it reads other than tables."""

    @property
    def name(self) -> str: ...
    @property
    def media(self) -> str | None:
        """The content type without parameters, at the latest when the first bytes have come."""

    @property
    def parameters(self) -> Mapping[str, str]:
        """Those of the content type: `label-format=class-id`."""

    @property
    def mode(self) -> str:
        """File, FastFile or Pipe."""

    @property
    def distribution(self) -> str:
        """FullyReplicated (every host has all of it) or ShardedByS3Key."""

    @property
    def wrapper(self) -> str:
        """RecordIO: `streams` are the records of a Pipe, one each."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """AttributeNames of an augmented manifest; (): nobody has told them."""

    def stopped(self) -> bool:
        """Was the job told to stop? What the channel yields may then have ended early."""

    def files(self) -> Sequence[tuple[str, Path]] | None:
        """Pairs (name for messages, path) of what can be read at any place and again, in the order of their
        keys; None: a Pipe."""

    def streams(self) -> Iterator[tuple[str, BinaryIO]]:
        """One pass: pairs (name for messages, bytes without gzip), to be read one by one. A Pipe can be
        passed once."""

    def examples(self, size: int) -> Iterator[tuple[bytes, ...]]:
        """One pass over an augmented manifest's records: `size` attributes an example."""


class Table(Data, Protocol):
    """The rows of one channel on this host as `Records`, in blocks as they come, for a library that owns its
    loop. May be read again and again, a Pipe too: what was decoded is kept on the disk."""

    @property
    def media(self) -> str | None:
        """The content type without parameters; None as long as nobody has said or found it out."""

    @property
    def mode(self) -> str:
        """File, FastFile or Pipe."""

    @property
    def distribution(self) -> str:
        """FullyReplicated (the rows are dealt out among the hosts) or ShardedByS3Key."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of its columns, labels first, once it has been read; None: it has none."""
