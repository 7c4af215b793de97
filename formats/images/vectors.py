"""Labels of images as their files hold them: a few numbers each, of any count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """n vectors of any lengths, end to end. values: (m,) float32.   starts: (n + 1,) int64, of each in
    values, and their end."""

    values: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, vectors: Iterable[Iterable[float]]) -> Vectors:
        rows = [np.asarray(vector, np.float32).reshape(-1) for vector in vectors]
        return cls.joined(np.concatenate([np.empty(0, np.float32), *rows]), [len(row) for row in rows])

    @classmethod
    def joined(cls, values: np.ndarray, lengths: Iterable[int]) -> Vectors:
        """From the values of all, and how many each has."""
        counts = np.fromiter(lengths, np.int64)
        return cls(np.asarray(values, np.float32), np.concatenate([np.zeros(1, np.int64), counts.cumsum()]))

    @classmethod
    def concatenated(cls, several: Iterable[Vectors]) -> Vectors:
        parts = list(several)
        values = np.concatenate([np.empty(0, np.float32), *(part.values for part in parts)])
        return cls.joined(values, np.concatenate([np.empty(0, np.int64), *(part.lengths for part in parts)]))

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        return self.values[self.starts[i] : self.starts[i + 1]]
