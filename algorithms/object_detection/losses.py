"""What a detector is trained by: cross entropy over positives and hard negatives, smooth L1 over the offsets
of positives, both divided by the number of positives (the paper's equation 1).

MXNet divides the first by the anchors that count and the second by the offsets that are not 0, by which small
errors weigh as much as large ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from optml.algorithms.kernels import boxes
from optml.algorithms.object_detection.design import VARIANCES

Tensor = torch.Tensor

TINY = 1e-8  # beside a probability in what the log has of cross entropy, as in MXNet


@dataclass(frozen=True, slots=True)
class Loss:
    """total: the sum over positives and negatives, to be divided by `positives`.   examples: positives and
    negatives.   cross_entropy, smooth_l1: sums as the log has them, float64 on the device."""

    total: Tensor
    positives: int
    examples: int
    cross_entropy: Tensor
    smooth_l1: Tensor


def multibox_loss(scores: Tensor, offsets: Tensor, anchors: Tensor, truths: Tensor) -> Loss:
    """scores: (n, A, classes + 1) before softmax.   offsets: (n, A, 4).   anchors: (A, 4).   truths: (n, T,
    5), see `kernels.boxes.assign`."""
    with torch.no_grad():
        labels, goals = boxes.assign(anchors, truths, VARIANCES)
        labels = boxes.mine(labels, scores.detach().softmax(2)[:, :, 0]).reshape(-1)
    chosen, positive = (labels >= 0).nonzero()[:, 0], (labels > 0).nonzero()[:, 0]
    wanted = labels[chosen]
    logits = scores.reshape(-1, scores.shape[2])[chosen]
    entropy = functional.cross_entropy(logits, wanted, reduction="sum")
    targets = goals.reshape(-1, 4)[positive]
    distance = functional.smooth_l1_loss(offsets.reshape(-1, 4)[positive], targets, reduction="sum")
    with torch.no_grad():
        own = logits.detach().softmax(1).gather(1, wanted[:, None])
        logged = -(own.double() + TINY).log().sum()
    return Loss(entropy + distance, len(positive), len(chosen), logged, distance.detach().double())
