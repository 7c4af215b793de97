"""Logits on a GPU: a program takes a token and walks over its logits three times, twice where no slopes are
wanted: their largest with its place, the sum of their exponentials, and the slopes."""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096  # logits that a program holds


def turn(logits: Tensor, labels: Tensor, gradient: bool) -> tuple[Tensor, Tensor]:
    """See `cpu.turn`; logits float32, their rows contiguous."""
    count, size = logits.shape
    losses = torch.empty(count, dtype=torch.float32, device=logits.device)
    right = torch.empty(count, dtype=torch.int32, device=logits.device)
    if count:
        block = min(BLOCK, triton.next_power_of_2(size))
        _turn[(count,)](logits, logits.stride(0), labels, size, losses, right, GRADIENT=gradient, BLOCK=block)
    return losses, right


@triton.jit
def _turn(logits, stride, labels, size, losses, right, GRADIENT: tl.constexpr, BLOCK: tl.constexpr):
    token = tl.program_id(0)
    row = logits + token.to(tl.int64) * stride
    label = tl.load(labels + token)
    places = tl.arange(0, BLOCK)
    largest = float("-inf")
    place = 0
    for start in range(0, size, BLOCK):
        values = tl.load(row + start + places, mask=start + places < size, other=float("-inf"))
        top = tl.max(values, 0)
        if top > largest:
            largest = top
            place = start + tl.argmax(values, 0)
    total = 0.0
    for start in range(0, size, BLOCK):
        values = tl.load(row + start + places, mask=start + places < size, other=float("-inf"))
        total += tl.sum(tl.exp(values - largest), 0)
    own = tl.load(row + label)
    tl.store(losses + token, tl.log(total) + largest - own)
    tl.store(right + token, (place == label).to(tl.int32))
    if GRADIENT:
        for start in range(0, size, BLOCK):
            inside = start + places < size
            values = tl.load(row + start + places, mask=inside, other=float("-inf"))
            slopes = tl.exp(values - largest) / total
            slopes = tl.where(start + places == label, slopes - 1.0, slopes)
            tl.store(row + start + places, slopes, mask=inside)
