"""Logits on a CPU: torch's vectorised passes, beside which the products take by far the most time."""

from __future__ import annotations

import torch
from torch import Tensor


def turn(logits: Tensor, labels: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
    """The cross entropies (n,) of logits (n, v) and labels (n,), and whether the label's logit is the
    largest; with `gradient`, the logits become the slopes of the losses, in place."""
    largest, places = logits.max(1)
    labelled = labels[:, None]
    own = logits.gather(1, labelled)[:, 0]
    logits.sub_(largest[:, None]).exp_()
    sums = logits.sum(1)
    if gradient:
        logits.div_(sums[:, None])
        logits.scatter_add_(1, labelled, torch.full_like(labelled, -1, dtype=logits.dtype))
    return sums.log() + largest - own, places == labels
