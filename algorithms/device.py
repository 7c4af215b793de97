"""Where the state of training lives: NumPy arrays on the CPU, or torch tensors on a CUDA device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optml.algorithms.kernels.machine.staging import Staging

ALIGNED = 4  # values: kernels are compiled anew for arrays that begin off 16 bytes


class Device:
    """By torch's name, "cuda:0" say; "cpu" stands for NumPy."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._staging: Staging | None = None

    def put(self, array: np.ndarray) -> Any:
        """The array where the state lives; on the CPU the very same."""
        if self.name == "cpu":
            return array
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.name)

    def stage(self, rows: np.ndarray) -> Any:
        """A batch of float32 values where the state lives, copied while the one before is still being
        computed. Holds until `stage` was called twice more."""
        rows = np.ascontiguousarray(rows)
        if not self.name.startswith("cuda"):
            return self.put(rows)
        if self._staging is None:
            from optml.algorithms.kernels.machine.staging import Staging

            self._staging = Staging(self.name)
        return self._staging.put(rows)

    def stage_all(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        """The arrays of a batch, float32 or int32, by one copy, as `stage` makes it."""
        if self.name == "cpu":
            return list(arrays)
        starts = np.cumsum([0, *(-(-array.size // ALIGNED) * ALIGNED for array in arrays)]).tolist()
        packed = np.empty(starts[-1], np.float32)
        for start, array in zip(starts, arrays, strict=False):
            packed[start : start + array.size] = array.reshape(-1).view(np.float32)
        import torch

        there = self.stage(packed)
        tensors = []
        for start, array in zip(starts, arrays, strict=False):
            part = there[start : start + array.size].view(array.shape)
            tensors.append(part.view(torch.int32) if array.dtype == np.int32 else part)
        return tensors

    def empty(self, *shape: int) -> Any:
        """Room for float32 values where the state lives."""
        if self.name == "cpu":
            return np.empty(shape, np.float32)
        import torch

        return torch.empty(shape, device=self.name)

    def stacked(self, upper: Any, lower: Any) -> Any:
        """The rows of two matrices of the state, one under the other."""
        if self.name == "cpu":
            return np.concatenate([upper, lower])
        import torch

        return torch.cat([upper, lower])


def host(array: Any) -> np.ndarray:
    """The array as NumPy's; the very same one where it is that already."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())
