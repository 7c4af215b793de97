"""Tabular records: the block that most algorithms train on and predict from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_array, vstack

Features: TypeAlias = Any  # np.ndarray | csr_array: SciPy has no types of its own


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run of records was read, so that an error about one of them can name it."""

    source: str  # "train/part-0.csv", "the request"
    first: int = 1  # number of the first record of the run in its source, counted from 1
    unit: str = "record"  # what the source counts: "record" (RecordIO, JSON, Parquet), "row" (CSV), "line"
    # (n,) int32: how far behind `first` each record is, where blank lines lie between; None: 0, 1, 2, ...
    offsets: np.ndarray | None = field(default=None, compare=False)

    @classmethod
    def of(cls, source: str, numbers: Sequence[int] | np.ndarray, unit: str) -> Origin:
        """The origin of records with these numbers, ascending and at least one."""
        first = int(numbers[0])
        if int(numbers[-1]) - first == len(numbers) - 1:
            return cls(source, first, unit)
        return cls(source, first, unit, (np.array(numbers, np.int64) - first).astype(np.int32))

    def name(self, index: int) -> str:
        """Name the record `index` places after the first: `row 17 of train/part-0.csv`."""
        behind = index if self.offsets is None else int(self.offsets[index])
        return f"{self.unit} {self.first + behind} of {self.source}"

    def later(self, index: int) -> Origin:
        """The origin of the records from `index` places after the first on."""
        if self.offsets is None:
            return replace(self, first=self.first + index)
        return replace(self, offsets=self.offsets[index:])


@dataclass(frozen=True, slots=True)
class Records:
    """`n` records in one block.

    features: (n, d) float32, a C-contiguous array or `csr_array` (sorted indices, no duplicates).
    labels:   (n, l) float64, or None where the source has none.
    weights:  (n,) float32 instance weights, or None.
    uids, metadata: what RecordIO-protobuf records carry beside their values; copied to the response.
    origins:  pairs (row of this block, origin of the run that starts there), ascending, first row 0.
    groups:   (n,) int64 ids of the queries that rows to be ranked belong to (-1: of none), or None.
    """

    features: Features
    labels: np.ndarray | None = None
    weights: np.ndarray | None = None
    uids: tuple[str, ...] | None = None
    metadata: tuple[str, ...] | None = None
    origins: tuple[tuple[int, Origin], ...] = ()
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @property
    def width(self) -> int:
        return int(self.features.shape[1])

    def where(self, row: int) -> str:
        """Name the source of one row of this block, for an error message."""
        for start, origin in reversed(self.origins):
            if start <= row:
                return origin.name(row - start)
        return f"record {row + 1}"

    def __getitem__(self, rows: slice) -> Records:
        """A contiguous run of records; dense features and labels are views."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError("records are sliced in contiguous runs")
        if start == 0 and stop == len(self):
            return self
        origins = []
        for at, origin in self.origins:
            if at <= start:  # the last run that begins before the slice covers its first row
                origins = [(0, origin.later(start - at))]
            elif at < stop:
                origins.append((at - start, origin))
        return Records(
            features=self.features[start:stop],
            labels=None if self.labels is None else self.labels[start:stop],
            weights=None if self.weights is None else self.weights[start:stop],
            groups=None if self.groups is None else self.groups[start:stop],
            uids=None if self.uids is None else self.uids[start:stop],
            metadata=None if self.metadata is None else self.metadata[start:stop],
            origins=tuple(origins),
        )

    def dense(self) -> np.ndarray:
        """The features as a C-contiguous (n, d) float32 array; itself when they are dense already."""
        dense: np.ndarray = self.features.toarray() if isinstance(self.features, csr_array) else self.features
        return dense


def concatenate(blocks: Iterable[Records]) -> Records:
    """Join blocks of equal width in order; dense and sparse blocks together become dense.

    A column that one block lacks (labels, weights, ...) is dropped. Raises ValueError for no blocks.
    """
    parts = list(blocks)
    if len(parts) == 1:
        return parts[0]
    if not parts:
        raise ValueError("no blocks to join")
    sparse = all(isinstance(part.features, csr_array) for part in parts)
    labels = [part.labels for part in parts if part.labels is not None]
    weights = [part.weights for part in parts if part.weights is not None]
    groups = [part.groups for part in parts if part.groups is not None]
    uids = [part.uids for part in parts if part.uids is not None]
    metadata = [part.metadata for part in parts if part.metadata is not None]
    origins: list[tuple[int, Origin]] = []
    row = 0
    for part in parts:
        origins += [(row + at, origin) for at, origin in part.origins]
        row += len(part)
    everyone = len(parts)
    return Records(
        features=csr_array(vstack([p.features for p in parts]))
        if sparse
        else np.concatenate([p.dense() for p in parts]),
        labels=np.concatenate(labels) if len(labels) == everyone else None,
        weights=np.concatenate(weights) if len(weights) == everyone else None,
        groups=np.concatenate(groups) if len(groups) == everyone else None,
        uids=tuple(u for part in uids for u in part) if len(uids) == everyone else None,
        metadata=tuple(m for part in metadata for m in part) if len(metadata) == everyone else None,
        origins=tuple(origins),
    )


# The columns of an answer: name -> (n,) one number a record, or (n, m) one vector a record; a masked array
# where some vectors are shorter than others.
Columns = Mapping[str, np.ndarray]


def gathered(blocks: Iterable[Records]) -> Records:
    """Join the blocks of a request: where some are sparse all become so, for such are never expanded; where
    some have uids or metadata the others have empty ones."""
    parts = list(blocks)
    if any(part.uids is not None for part in parts):
        parts = [part if part.uids is not None else replace(part, uids=("",) * len(part)) for part in parts]
    if any(part.metadata is not None for part in parts):
        parts = [
            part if part.metadata is not None else replace(part, metadata=("",) * len(part)) for part in parts
        ]
    if any(isinstance(part.features, csr_array) for part in parts):
        parts = [replace(part, features=csr_array(part.features)) for part in parts]
    return concatenate(parts)
