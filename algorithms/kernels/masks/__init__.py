"""Masks of classes out of logits of a coarser grid, without the logits of every pixel in memory.

The logits z (h, w) of a class lie at the corners of cells. Pixel (y, x) of a mask (H, W) has, with

    v = y (h - 1) / (H - 1), i = floor(v), b = v - i;   likewise x: j, a     (the corners of both are aligned)

the scores, probabilities and class

    s_k = (1-b) ((1-a) z_k[i, j] + a z_k[i, j+1]) + b ((1-a) z_k[i+1, j] + a z_k[i+1, j+1])
    p_k = exp(s_k) / sum_m exp(s_m)          class = argmax_k s_k, the lowest of several

and the loss of a batch with the labels t is the mean of -log p_t over the pixels whose label is not `ignore`.
Its gradient by z is summed cell by cell in the pass that makes the loss, p_k - [k = t] times the weights
above, so that nothing of (K, H, W) is ever there, and no pixel's scores are made twice.

Scores are float32, whatever the logits are. Loss and gradient agree with the reference to 1e-5 of the
largest; the same input gives the same bits, whatever the threads. `classes` is the argmax of `probabilities`
at every pixel: both have the same scores, and where two probabilities round to one number, that of the lower
class, if its score is less, is written as the number below.

Tensors on a CPU take `cpu.py`, on a CUDA device the Triton kernels; logits may be of any layout.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optml.algorithms.kernels.masks.terms import trimmed


def loss(logits: Tensor, labels: Tensor, ignore: int = 255) -> tuple[Tensor, Tensor]:
    """The mean cross entropy (scalar, float32; 0 where every label is ignored), differentiable once in the
    logits, and the number of pixels that count (scalar, int64).

    logits: (B, K, h, w) of any floating dtype.   labels: (B, H, W) uint8 or of another whole-numbered dtype.
    A label that is neither `ignore` nor in 0..K-1 makes the loss NaN: whoever reads labels is to refuse it.
    """
    logits = trimmed(logits, *labels.shape[1:])
    if labels.dtype != torch.uint8:
        labels = labels.long()
    gradient = torch.is_grad_enabled() and logits.requires_grad
    mean, number = _Loss.apply(logits, labels, ignore, gradient)  # type: ignore[no-untyped-call]
    return mean, number


def classes(logits: Tensor, height: int, width: int) -> Tensor:
    """(B, height, width) uint8: the class of each pixel. logits: (B, K, h, w), K <= 256."""
    mask: Tensor = _path(logits).classes(trimmed(logits.detach(), height, width), height, width)
    return mask


def probabilities(logits: Tensor, height: int, width: int) -> Tensor:
    """(B, K, height, width) float32, of logits (B, K, h, w)."""
    chances: Tensor = _path(logits).probabilities(trimmed(logits.detach(), height, width), height, width)
    return chances


def confusion(predicted: Tensor, labels: Tensor, k: int, ignore: int = 255) -> Tensor:
    """(k, k) int64: the number of pixels with label r (row) of which class c (column) was predicted.

    predicted, labels: of one shape, uint8 or of another whole-numbered dtype. Pixels whose label or class is
    `ignore`, or not in 0..k-1, are not counted.
    """
    pair = (predicted, labels)
    if predicted.dtype != torch.uint8 or labels.dtype != torch.uint8:
        pair = (predicted.long(), labels.long())
    counts: Tensor = _path(labels).confusion(*(part.reshape(-1) for part in pair), k, ignore)
    return counts


def _path(tensor: Tensor) -> Any:
    if tensor.device.type == "cpu":
        from optml.algorithms.kernels.masks import cpu

        return cpu
    from optml.algorithms.kernels.masks import triton

    return triton


class _Loss(torch.autograd.Function):
    """The gradient is made along with the loss; it is no larger than the logits."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, ignore: int, gradient: bool
    ) -> tuple[Tensor, Tensor]:
        total, number, slopes = _path(logits).loss(logits, labels, ignore, gradient)
        count = number.clamp(min=1)
        ctx.mark_non_differentiable(number)
        ctx.dtype = logits.dtype
        ctx.save_for_backward(slopes, count)
        return (total / count).float(), number

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: Tensor, _: Tensor) -> Any:
        slopes, count = ctx.saved_tensors
        return (slopes * (above / count)).to(ctx.dtype), None, None, None


def upsampled(logits: Tensor, height: int, width: int) -> Tensor:
    """The scores (B, K, height, width) by the formula, in the dtype of the logits; for tests."""

    def along(values: Tensor, places: int, pixels: int) -> Tensor:
        at = torch.arange(pixels, dtype=torch.float64) * (places - 1) / max(pixels - 1, 1)
        first = at.floor().long()
        part = (at - first).to(values.dtype)
        return (1 - part) * values[..., first] + part * values[..., (first + 1).clamp(max=places - 1)]

    rows = along(logits.transpose(2, 3), logits.shape[2], height).transpose(2, 3)
    return along(rows, logits.shape[3], width)


def reference(logits: Tensor, labels: Tensor, ignore: int = 255) -> Tensor:
    """`loss` by the formula, in the dtype of the logits, differentiable; for tests."""
    labels = labels.long()
    there = labels != ignore
    chances = upsampled(logits, *labels.shape[1:]).log_softmax(dim=1)
    own = chances.gather(1, (labels * there)[:, None])[:, 0]
    return -(own * there).sum() / there.sum().clamp(min=1)
