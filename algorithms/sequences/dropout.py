"""Dropout whose draws depend on a generator of the caller's."""

from __future__ import annotations

import torch

Tensor = torch.Tensor


def dropped(values: Tensor, share: float, random: torch.Generator | None) -> Tensor:
    """Values of which each is 0 with that probability, the others larger in return.

    random: None: nothing is dropped, as in predictions.
    """
    if random is None or not share:
        return values
    if share == 1:
        return values * 0
    draws = torch.rand(values.shape, generator=random, device=values.device)
    return values * ((draws >= share) / (1 - share))
