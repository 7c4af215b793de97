"""The rows of a tabular channel as mini-batches of exactly the size asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import numpy as np

from optml.algorithms.cluster import Cluster, share
from optml.container.channels import Channel
from optml.container.readahead import read_ahead
from optml.container.spill import Spill
from optml.errors import UserError
from optml.formats import tabular
from optml.formats.blocks import BLOCK_BYTES
from optml.formats.checks import check_finite
from optml.formats.column_order import ColumnOrder
from optml.formats.content_type import LIBSVM
from optml.formats.layout import Layout
from optml.formats.records import Records, concatenate

log = logging.getLogger(__name__)

RUN = 1000  # rows that one host takes before the next one does, where they come in no batches


class Rows:
    """The batches of one channel on this host (`algorithms.sources.Data`).

    width:      features of every row; None: as many as the first row has.
    batch_size: rows of a batch; the last of an epoch may hold fewer. None: blocks as they come.
    run:        rows that a host takes of a channel dealt out before the next one does; None: `batch_size`.
    sparse:     hand `csr_array` over as it comes; else every batch is dense.
    label_size: leading label columns of a table whose content type names none; None: told by the width.
    stopped:    asked while waiting for data; once true, the epoch ends early.
    columns:    the names of the columns, shared by the channels of a job: the first read settles the order.
    missing:    let NaN pass among the features: a value that is missing.
    ragged:     sparse blocks may differ in width, each file of LIBSVM as wide as its own largest index.
    spill:      where the first epoch of a channel of files keeps what it decoded for those that follow; None:
                every epoch decodes anew, as it must with a Pipe (without `batch_size` one FIFO is kept).

    Batches do not depend on how the rows are cut into blocks, files or FIFOs. On H hosts a replicated
    channel is dealt out: host r takes runs j with j mod H = r; of a sharded one each takes all it has, and
    the processes of one host deal that out among themselves.
    Memory is bounded by three blocks and one batch.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        width: int | None,
        batch_size: int | None,
        run: int | None = None,
        cluster: Cluster,
        sparse: bool,
        label_size: int | None,
        columns: ColumnOrder | None = None,
        missing: bool = False,
        ragged: bool = False,
        stopped: Callable[[], bool] = lambda: False,
        spill: Spill | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.channel = channel
        self.width = width
        self.batch_size = batch_size
        self._run = run or batch_size or RUN
        self._sparse = sparse
        self._label_size = label_size
        self._counted: str | None = None  # the row that the width is that of
        self._columns = ColumnOrder() if columns is None else columns
        self._missing = missing
        self._ragged = ragged
        self._stopped = stopped
        self._spill = spill if channel.mode != "Pipe" or batch_size is None else None
        self._block_bytes = block_bytes
        self._rank, self._hosts = share(channel.distribution, cluster)

    @property
    def media(self) -> str | None:
        return self.channel.content_type.media if self.channel.content_type else None

    @property
    def mode(self) -> str:
        return "Pipe" if self.channel.piped else self.channel.mode

    @property
    def distribution(self) -> str:
        return self.channel.distribution

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self._columns.names

    def epoch(self, number: int) -> Iterator[Records]:
        """One pass over the channel. Raises UserError, naming the row, for what can't be read or used."""
        blocks = read_ahead(self._kept, stopped=self._stopped)
        with closing(blocks):
            if self.batch_size is None:
                yield from self._dealt(blocks)
            else:
                yield from self._batches(self._dealt(blocks), self.batch_size)

    def _kept(self, closed: threading.Event) -> Generator[Records, None, None]:
        """The blocks, decoded once where there is a place to keep them."""
        if self._spill is None:
            yield from self._blocks(closed)
        elif self._spill.complete:
            yield from self._spill.blocks()
        else:
            yield from self._spill.keep(self._blocks(closed))

    def _blocks(self, closed: threading.Event) -> Generator[Records, None, None]:
        """Decoded and checked blocks, as large as the readers make them."""
        empty = True
        for source, stream in self.channel.streams(closed):
            content_type = self.channel.content_type
            if content_type is None:  # nothing but empty objects so far
                continue
            ragged = self._ragged and content_type.media == LIBSVM
            layout = Layout(
                None if ragged else self.width,
                self._label_size,
                counted=self._counted,
                columns=self._columns,
            )
            for block in tabular.read(
                stream, content_type, layout, source=source, block_bytes=self._block_bytes
            ):
                if not len(block):
                    continue
                if self.width is None:
                    self.width, self._counted = block.width, block.where(0)
                check_finite(block, missing=self._missing)
                empty = False
                yield block
        if empty and not self.channel.may_be_empty:
            raise UserError(f"channel '{self.channel.name}' is empty: there are no records in its data")

    def _dealt(self, blocks: Iterable[Records]) -> Iterator[Records]:
        """Blocks as they come; on several hosts this one's runs of rows of each, the rows of a group never
        parted."""
        seen, groups, last = 0, -1, None
        for block in blocks:
            if self._hosts == 1:
                yield block
                continue
            rows = np.arange(seen, seen + len(block))
            seen += len(block)
            if block.groups is None:
                run = rows // self._run
            else:
                new = np.diff(block.groups, prepend=block.groups[0]) != 0
                new[0] = last is None or block.groups[0] != last
                run = groups + np.cumsum(new)
                groups, last = int(run[-1]), block.groups[-1]
            starts = [0, *(np.flatnonzero(np.diff(run)) + 1).tolist(), len(block)]
            for start, stop in pairwise(starts):
                if run[start] % self._hosts == self._rank:
                    yield block[start:stop]

    def _batches(self, blocks: Iterable[Records], size: int) -> Iterator[Records]:
        parts: list[Records] = []
        missing = size
        for block in blocks:
            at = 0
            while at < len(block):
                until = min(at + missing, len(block))
                parts.append(block[at:until])
                missing -= until - at
                at = until
                if missing == 0:
                    yield self._joined(parts)
                    parts, missing = [], size
        if parts:
            yield self._joined(parts)

    def _joined(self, parts: list[Records]) -> Records:
        whole = concatenate(parts)
        dense = not self._sparse and not isinstance(whole.features, np.ndarray)
        return replace(whole, features=whole.dense()) if dense else whole
