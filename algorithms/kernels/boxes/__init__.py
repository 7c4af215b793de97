"""Boxes of a detector: targets of its anchors, hard negatives, and detections out of what it says, of a whole
batch at once (the operators `MultiBoxTarget` and `MultiBoxDetection` of Apache MXNet, after W. Liu et al.,
"SSD: Single Shot MultiBox Detector", ECCV 2016, sections 2.2 and 2.3).

    IoU(a, b) = area of a and b / (area of a + area of b - area of both)      0 where both are empty

Targets of an image. While there is a truth without an anchor, the pair with the largest IoU of such truths
and anchors without a truth belongs together, if that is above 1e-6; of equal pairs the one with the lowest
anchor, then with the lowest truth. Every other anchor takes the truth with the largest IoU, the lowest of
several, if that is above `threshold`. An anchor with centre a, width w and height h has of its truth's box
the offsets

    ((gx - ax) / w, (gy - ay) / h, log(gw / w), log(gh / h)) / variances

An anchor without a truth whose largest IoU is below `threshold` may be a negative; so no table of anchors by
truths is ever there. Hard negatives are, of these, the ones least like background, so many for each positive.

Detections. An anchor stands for its most probable class but background; those of `threshold` and more, best
score first and lowest anchor first of equal ones, `topk` of them, have their boxes moved by their offsets and
clipped to the image; a box goes where one before it, of its class or (`force`) of any, has an IoU of
`nms_threshold` or more with it and has not gone itself.

Scores are compared as float32, all geometry is float64: the choices are those of `reference.py`. Tensors on a
CPU take `cpu.py`, on a CUDA device the Triton kernels, which never wait for the host.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from optml.algorithms.kernels.boxes.terms import NEITHER, Tensor, Variances


def assign(
    anchors: Tensor, truths: Tensor, variances: Variances, threshold: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Labels (n, A) int64: class + 1 of a positive, 0 of what may be a negative, -1 of neither; and offsets
    (n, A, 4) float32, 0 but for positives.

    anchors: (A, 4) float32: xmin, ymin, xmax, ymax.   truths: (n, T, 5) float32: class, box; class -1: none.
    Of an image without truths all labels are -1.
    """
    labels, offsets = _path(truths).assign(
        anchors.float().contiguous(), truths.float().contiguous(), variances, threshold
    )
    return labels, offsets


def mine(labels: Tensor, background: Tensor, ratio: float = 3.0) -> Tensor:
    """Labels (n, A) of which of each image only floor(ratio * positives) stay 0: those with the lowest
    `background` (n, A), the lowest anchors of equal ones."""
    ratio, whole = math.modf(ratio)
    positives = (labels > 0).sum(dim=1, keepdim=True)
    wanted = positives * int(whole) + (positives * ratio).long()
    free = labels == 0
    order = background.masked_fill(~free, math.inf).argsort(dim=1, stable=True)
    places = torch.arange(labels.shape[1], device=labels.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, places)
    return labels.masked_fill(free & (ranks >= wanted), NEITHER)


def detect(
    probabilities: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    variances: Variances,
    *,
    threshold: float = 0.01,
    nms_threshold: float = 0.45,
    topk: int = 400,
    force: bool = False,
) -> Tensor:
    """(n, m, 6) float32: class, score, xmin, ymin, xmax, ymax of each image's detections, best first, and
    rows of -1 behind them; m = topk, or A where that is less or topk is not above 0.

    probabilities: (n, A, classes + 1), background first.   offsets: (n, A, 4).   anchors: (A, 4).
    nms_threshold: outside of (0, 1] no box goes.
    """
    arguments = (part.detach().float().contiguous() for part in (probabilities, offsets, anchors))
    m = min(topk, len(anchors)) if topk > 0 else len(anchors)
    rows: Tensor = _path(offsets).detect(*arguments, variances, threshold, nms_threshold, m, force)
    return rows


def _path(tensor: Tensor) -> Any:
    if tensor.device.type == "cpu":
        from optml.algorithms.kernels.boxes import cpu

        return cpu
    from optml.algorithms.kernels.boxes import triton

    return triton
