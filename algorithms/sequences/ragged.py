"""Sequences of token ids of any lengths, one behind the other in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

PADDING = 0  # the id that stands for no token


@dataclass(frozen=True, slots=True)
class Sequences:
    """n sequences: number i is ids[bounds[i]:bounds[i + 1]].   ids: (e,) int32.   bounds: (n + 1,) int64."""

    ids: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, some: slice) -> Sequences:
        """Sequences that stand together."""
        start, stop, _ = some.indices(len(self))
        bounds = self.bounds[start : max(start, stop) + 1]
        return Sequences(self.ids[bounds[0] : bounds[-1]], bounds - bounds[0])

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64."""
        return np.diff(self.bounds)

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Sequences:
        """From lists of ids, which fit into int32."""
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        ids = np.fromiter(chain.from_iterable(lists), np.int32, int(lengths.sum()))
        return cls(ids, bounds_of(lengths))

    @classmethod
    def joined(cls, parts: Sequence[Sequences]) -> Sequences:
        """One behind the other."""
        if len(parts) == 1:
            return parts[0]
        lengths = [part.lengths for part in parts]
        ids = [part.ids for part in parts]
        return cls(
            np.concatenate(ids) if ids else np.empty(0, np.int32),
            bounds_of(np.concatenate(lengths) if lengths else np.empty(0, np.int64)),
        )

    def take(self, rows: np.ndarray) -> Sequences:
        """Those of these numbers, (m,) integers, in their order."""
        lengths = self.lengths[rows]
        bounds = bounds_of(lengths)
        places = np.arange(bounds[-1]) + np.repeat(self.bounds[:-1][rows] - bounds[:-1], lengths)
        return Sequences(self.ids[places], bounds)

    def cut(self, longest: int) -> Sequences:
        """No more than the first `longest` tokens of each; itself where none is longer."""
        lengths = self.lengths
        if not len(lengths) or lengths.max() <= longest:
            return self
        short = np.minimum(lengths, longest)
        bounds = bounds_of(short)
        places = np.arange(bounds[-1]) + np.repeat(self.bounds[:-1] - bounds[:-1], short)
        return Sequences(self.ids[places], bounds)

    def without_padding(self) -> Sequences:
        """The same without the tokens that are none."""
        real = self.ids != PADDING
        if real.all():
            return self
        before = np.concatenate([[0], np.cumsum(real)])
        return Sequences(self.ids[real], before[self.bounds].astype(np.int64))

    def padded(self, width: int | None = None) -> np.ndarray:
        """(n, width) int32, `PADDING` behind; None: as wide as the longest."""
        lengths = self.lengths
        width = int(lengths.max(initial=0)) if width is None else width
        found = np.full((len(self), width), PADDING, np.int32)
        found[np.arange(width) < lengths[:, None]] = self.ids
        return found


def bounds_of(lengths: np.ndarray) -> np.ndarray:
    """(n + 1,) int64 of lengths (n,)."""
    bounds = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=bounds[1:])
    return bounds
