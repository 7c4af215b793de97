"""The tokens of a batch as tensors: sources by sequences, targets by steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from optml.algorithms.seq2seq.records import BEGIN, END
from optml.algorithms.sequences.packing import Packing
from optml.algorithms.sequences.ragged import Sequences, bounds_of

Tensor = torch.Tensor


@dataclass(frozen=True)
class Source:
    """e tokens of n sequences, none of which is empty.

    ids:    (e,) int64, one sequence behind the other.
    counts: (n,) lengths, on the CPU.
    places: (e,) int64, where each token is among n rows of `width` places.
    """

    ids: Tensor
    counts: np.ndarray
    places: Tensor
    width: int

    @classmethod
    def of(cls, sequences: Sequences, device: str) -> Source:
        counts = sequences.lengths
        width = int(counts.max(initial=0))
        row = np.repeat(np.arange(len(counts)), counts)
        step = np.arange(len(row)) - sequences.bounds[row]
        ids, places = (
            torch.from_numpy(array).to(device)
            for array in (sequences.ids.astype(np.int64), row * width + step)
        )
        return cls(ids, counts, places, width)

    @cached_property
    def packing(self) -> Packing:
        return Packing.of(self.counts, str(self.ids.device))

    @cached_property
    def lengths(self) -> Tensor:
        """(n,) int64, on the device."""
        return torch.from_numpy(self.counts).to(self.ids.device)

    @cached_property
    def mask(self) -> Tensor:
        """(n, width): is there no token?"""
        return torch.arange(self.width, device=self.ids.device) >= self.lengths[:, None]

    def padded(self, rows: Tensor) -> Tensor:
        """(n, width, w), 0 where there is no token, of rows (e, w)."""
        empty = rows.new_zeros(len(self.counts) * self.width, rows.shape[1])
        return empty.index_copy(0, self.places, rows).view(len(self.counts), self.width, rows.shape[1])


@dataclass(frozen=True, slots=True)
class Target:
    """What a decoder reads and is to say, e tokens of n sequences that fall in length, step by step.

    sizes:  sequences that have each step.
    inputs: (e,) int64, `<s>` and the tokens.   labels: (e,) int64, the tokens and `</s>`.
    places: (e,) int64, where each is among n rows of `len(sizes)` places.
    """

    sizes: list[int]
    inputs: Tensor
    labels: Tensor
    places: Tensor

    @classmethod
    def of(cls, sequences: Sequences, device: str) -> Target:
        lengths = sequences.lengths + 1
        steps = int(lengths[0])
        sizes = np.searchsorted(-lengths, -np.arange(1, steps + 1), side="right")
        step = np.repeat(np.arange(steps), sizes)
        row = np.arange(len(step)) - bounds_of(sizes)[step]
        inputs = np.full((len(sequences), steps), BEGIN, np.int64)
        labels = np.full((len(sequences), steps), END, np.int64)
        padded = sequences.padded(steps - 1)
        inputs[:, 1:] = padded
        labels[:, :-1] = np.where(np.arange(steps - 1) < sequences.lengths[:, None], padded, END)
        places = row * steps + step
        arrays = inputs.reshape(-1)[places], labels.reshape(-1)[places], places
        return cls(sizes.tolist(), *(torch.from_numpy(array).to(device) for array in arrays))
