"""What the CPU's and the GPU's share of the operation have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_array

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

TINY = 1e-30  # a word's probability in a document is no less


@dataclass(frozen=True, slots=True)
class Documents:
    """n documents by the words that occur in each: document d has counts[e] times the word words[e], for
    bounds[d] <= e < bounds[d + 1].

    bounds (n + 1,) int64, words (e,) int32, counts (e,) float32.
    """

    bounds: Array
    words: Array
    counts: Array

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @classmethod
    def of(cls, counts: csr_array) -> Documents:
        """From counts (n, words)."""
        return cls(
            np.ascontiguousarray(counts.indptr, np.int64),
            np.ascontiguousarray(counts.indices, np.int32),
            np.ascontiguousarray(counts.data, np.float32),
        )

    def to(self, device: str) -> Documents:
        """The same on a CUDA device."""
        import torch

        return Documents(*(torch.from_numpy(a).to(device) for a in (self.bounds, self.words, self.counts)))
