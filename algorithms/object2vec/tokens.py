"""The tokens of one side of a batch, as encoders take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from optml.algorithms.sequences.packing import Packing
from optml.algorithms.sequences.ragged import Sequences

Tensor = torch.Tensor


@dataclass(frozen=True)
class Tokens:
    """n sequences without padding, as places among the rows of the table that the batch touches.

    places: (e,) int64.   bounds: (n + 1,) int64.   device: where the network is.
    """

    places: np.ndarray
    bounds: np.ndarray
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.bounds)

    @cached_property
    def index(self) -> Tensor:
        """The places, on the device."""
        return torch.from_numpy(self.places).to(self.device)

    @cached_property
    def starts(self) -> Tensor:
        """Where each sequence begins, (n,), on the device."""
        return torch.from_numpy(self.bounds[:-1]).to(self.device)

    @cached_property
    def packing(self) -> Packing:
        return Packing.of(self.lengths, self.device)


def look_up(sides: Sequence[Sequences], device: str = "cpu") -> tuple[np.ndarray, list[Tokens]]:
    """The distinct ids (u,) int64 of some sequences, ascending, and these as places among them. Padding is
    left out, as if it had not been there: AWS's graph masks it."""
    real = [side.without_padding() for side in sides]
    ids = real[0].ids if len(real) == 1 else np.concatenate([side.ids for side in real])
    touched, places = np.unique(ids, return_inverse=True)
    ends = np.cumsum([len(side.ids) for side in real])[:-1]
    parts = np.split(places.reshape(-1), ends)
    tokens = [Tokens(part, side.bounds, device) for part, side in zip(parts, real, strict=True)]
    return touched.astype(np.int64), tokens
