"""Linear text classification (Joulin et al. 2016): see `classifier_cpu.py` for what a step is.

NumPy tables are trained on the CPU, line by line; on a CUDA device by PyTorch (`classifier_torch.py`), some
hundred lines at a time, whose steps are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Trainer(Protocol):
    """Tables while they are learnt."""

    def learn(self, segments: Sequence[tuple[np.ndarray, int]]) -> int: ...
    def accuracy(self, pieces: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[int, int]: ...
    def tables(self) -> tuple[np.ndarray, np.ndarray]: ...


def trainer(x: np.ndarray, y: np.ndarray, device: str, **rule: Any) -> Trainer:
    """x: (rows, stride) float32 rows of features, the words' first; y: (labels, stride) (`simd.empty`).
    `rule`: see `classifier_cpu.Trainer`."""
    if device == "cpu":
        from optml.algorithms.kernels.words import classifier_cpu

        result: Trainer = classifier_cpu.Trainer(x, y, **rule)
        return result
    from optml.algorithms.kernels.words import classifier_torch

    on_device: Trainer = classifier_torch.Trainer(x, y, device, **rule)
    return on_device
