"""What a machine, or several, can be asked to do, and what learning must not come to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from optml import memory
from optml.algorithms.base import Setting
from optml.errors import UserError


def require_memory(size: int, what: str) -> None:
    """Raise UserError if `size` bytes for `what` are more than there are."""
    memory.require(size, what, "lower vector_dim or buckets, raise min_count")


def require_finite(tables: Iterable[np.ndarray], rate: float) -> None:
    """Raise UserError where learning has run away."""
    if not all(np.isfinite(table.sum(dtype=np.float64)) for table in tables):
        raise UserError(
            f"training has diverged: weights are no longer finite numbers; lower learning_rate={rate:g}"
        )


def require_one_host(setting: Setting, *, distributed: bool) -> None:
    """Raise UserError for several hosts, unless the mode is `distributed` and they have no GPUs."""
    if setting.cluster.size == 1:
        return
    if not distributed:
        raise UserError(
            f"mode '{setting.hyperparameters.mode}' trains on one host, not on {setting.cluster.size}: only "
            "batch_skipgram does on several; set the number of instances to 1"
        )
    if setting.device != "cpu":
        raise UserError(
            f"BlazingText trains on GPUs of one host, not of {setting.cluster.size}: use one, or CPU hosts"
        )
