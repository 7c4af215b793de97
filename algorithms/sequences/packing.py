"""Sequences side by side without padding: for each step the tokens of those that are long enough.

The longest come first, so the sequences of a step are the first ones of the step before; a recurrence takes
slices, and does no work on padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from optml.algorithms.sequences.ragged import bounds_of

Tensor = torch.Tensor


@dataclass(frozen=True)
class Packing:
    """How e tokens of n sequences, one sequence behind the other, are laid by steps.

    sizes:   how many sequences each step has, falling.
    forward: (e,) int64, for each place of the packed order the token that stands there.
    reverse: (e,) int64, the same where each sequence is read from its end.
    device:  of the indices.
    """

    sizes: list[int]
    forward: Tensor
    reverse: Tensor

    @classmethod
    def of(cls, lengths: np.ndarray, device: str = "cpu") -> Packing:
        """lengths: (n,) integers; sequences may be empty."""
        order = np.argsort(-lengths, kind="stable")
        ordered = lengths[order]
        steps = int(ordered[0]) if len(ordered) else 0
        sizes = np.searchsorted(-ordered, -np.arange(1, steps + 1), side="right")
        step = np.repeat(np.arange(steps), sizes)
        row = order[np.arange(len(step)) - np.repeat(bounds_of(sizes)[:-1], sizes)]
        starts = bounds_of(lengths)
        forward, reverse = starts[row] + step, starts[row + 1] - 1 - step
        return cls(sizes.tolist(), *(torch.from_numpy(index).to(device) for index in (forward, reverse)))

    @cached_property
    def before(self) -> Tensor:
        """For every packed place behind the first step, that of the step before."""
        starts = bounds_of(np.array(self.sizes, np.int64))
        if len(self.sizes) < 2:
            return self.forward[:0]
        places = [np.arange(start, start + size) for start, size in zip(starts, self.sizes[1:], strict=False)]
        return torch.from_numpy(np.concatenate(places)).to(self.forward.device)

    def pack(self, tokens: Tensor, *, reverse: bool = False) -> Tensor:
        """(e, w) by steps, of tokens (e, w) by sequences."""
        return tokens.index_select(0, self.reverse if reverse else self.forward)

    def unpack(self, packed: Tensor, *, reverse: bool = False) -> Tensor:
        """The other way round."""
        return packed.index_select(0, self._back[int(reverse)])

    @cached_property
    def _back(self) -> tuple[Tensor, Tensor]:
        return _inverse(self.forward), _inverse(self.reverse)


def _inverse(index: Tensor) -> Tensor:
    found = torch.empty_like(index)
    found[index] = torch.arange(len(index), device=index.device)
    return found
