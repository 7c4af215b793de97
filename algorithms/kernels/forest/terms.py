"""What the paths of this operation share: its terms and constants."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

# Scores do not depend on the unit. Beyond FAR sums of differences could overflow float32: there all is
# measured in a unit of 1 / NEARER, a power of two, so that no digit is lost.
FAR = 2.0**100

NEARER = 2.0**-28


@dataclass(frozen=True, slots=True)
class Forest:
    """T random cut trees side by side, M leaves and N = M - T internal nodes in all; C order throughout.

    Leaves and internal nodes lie tree after tree, in preorder. A child c >= 0 is an internal node, c < 0 the
    leaf ~c. Equal rows share a leaf, so a leaf's box is its point and only internal nodes have boxes.
    """

    first: Array  # (T + 1,) int64: tree t has leaves first[t] .. first[t+1]-1, nodes first[t]-t onwards
    points: Array  # (M, d) float32
    masses: Array  # (M,) int32: rows that share the leaf's point
    children: Array  # (N, 2) int32: left, x_j <= cut; right, x_j > cut
    dimensions: Array  # (N,) int32: j
    cuts: Array  # (N,) float32
    boxes: Array  # (N, 2, d) float32: lo, hi
    ranges: Array  # (N,) float64: o
    rows: int  # m, of each tree
    far: bool = False  # a coordinate is beyond FAR

    @property
    def trees(self) -> int:
        return len(self.first) - 1

    @property
    def factor(self) -> float:
        """What the sum of E over the trees is multiplied with."""
        return math.log2(self.rows + 1) / self.trees

    @property
    def nbytes(self) -> int:
        arrays = (getattr(self, field.name) for field in fields(self))
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))

    def on(self, device: str) -> Forest:
        """A copy in torch tensors."""
        import torch

        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors: dict[str, Any] = {
            name: torch.tensor(value, device=device)
            for name, value in arrays.items()
            if isinstance(value, np.ndarray)
        }
        return replace(self, **tensors)

    def nearer(self) -> Forest:
        """The same forest in the larger unit."""
        arrays = {name: getattr(self, name) * NEARER for name in ("points", "cuts", "boxes", "ranges")}
        return replace(self, far=False, **arrays)
