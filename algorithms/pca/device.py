"""Where the state of training lives: NumPy arrays on the CPU, or torch tensors on a CUDA device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from optml.algorithms.kernels.machine.staging import Staging


class Device:
    def __init__(self, name: str) -> None:
        self.name = name
        self._staging: Staging | None = None

    def state(self, array: np.ndarray) -> Any:
        """The array where the state lives; on the CPU the very same."""
        if self.name == "cpu":
            return array
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.name)

    def put(self, rows: np.ndarray) -> Any:
        """(n, d) float32 rows where the state lives, copied while those before are still being computed.
        Holds until `put` was called twice more."""
        rows = np.ascontiguousarray(rows)
        if self.name == "cpu":
            return rows
        if self._staging is None:
            from optml.algorithms.kernels.machine.staging import Staging

            self._staging = Staging(self.name)
        return self._staging.put(rows)

    def stacked(self, upper: Any, lower: Any) -> Any:
        """The rows of two matrices of the state, one under the other."""
        if self.name == "cpu":
            return np.concatenate([upper, lower])
        import torch

        return torch.cat([upper, lower])

    def host(self, array: Any) -> np.ndarray:
        """The array as NumPy's; on the CPU the very same."""
        return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())
