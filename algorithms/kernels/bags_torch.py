"""Bags of words in torch: `embedded` and `likelihoods` as differentiable functions (see `bags.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from algorithms.kernels.bags import Bags, Table

Tensor = torch.Tensor

BLOCK = 1 << 20  # scores that are there at once, 4 MiB: of so many words as this divided by the documents


def embedded(bags: Bags, weight: Tensor, *, sparse: bool = False) -> Tensor:
    """(n, h): for each document the sum of its words' rows of weight (v, h), times their counts. float32.

    sparse: the gradient of the weight is a sparse tensor of the rows of words that occur."""
    found: Tensor = _Embedded.apply(weight, bags, sparse)  # type: ignore[no-untyped-call]
    return found


def likelihoods(bags: Bags, latent: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(n,) float32: the logarithm of the probability of each document's words under
    softmax(latent @ weight.T + bias), for latent (n, k), weight (v, k) and bias (v,).

    Scores take n * v multiply-adds of k, twice of them in the gradient where there are more than `BLOCK`."""
    found: Tensor = _Likelihoods.apply(latent, weight, bias, bags)  # type: ignore[no-untyped-call]
    return found


class _Embedded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bags: Bags, sparse: bool) -> Tensor:
        ctx.bags, ctx.shape, ctx.sparse = bags, weight.shape, sparse
        return sums(bags.documents, weight)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None]:
        bags = ctx.bags
        rows = sums(bags.columns, slopes.contiguous())
        touched = torch.as_tensor(bags.touched)
        if ctx.sparse:
            gradient = torch.sparse_coo_tensor(
                touched[None], rows, ctx.shape, is_coalesced=True, check_invariants=False
            )
        else:
            gradient = torch.zeros(ctx.shape, device=rows.device)
            gradient[touched] = rows
        return gradient, None, None


class _Likelihoods(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: Tensor, weight: Tensor, bias: Tensor, bags: Bags) -> Tensor:
        lengths = torch.as_tensor(bags.lengths)
        seen = sums(bags.documents, weight)  # (n, k)
        of_bias = sums(bags.documents, bias[:, None]).squeeze(1)
        normalizers, kept = _normalizers(latent, weight, bias)
        ctx.save_for_backward(latent, weight, bias, seen, normalizers, kept)
        ctx.bags = bags
        return (latent * seen).sum(1) + of_bias - lengths * normalizers

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        latent, weight, bias, seen, normalizers, kept = ctx.saved_tensors
        bags: Bags = ctx.bags
        shares = slopes * torch.as_tensor(bags.lengths)  # (n,)
        scaled = latent * shares[:, None]
        expected = torch.zeros_like(latent)
        of_weight, of_bias = torch.empty_like(weight), torch.empty_like(bias)
        for run in _runs(len(latent), len(weight)):
            likely = kept
            if likely is None:
                likely = _likely(latent, weight[run], bias[run], normalizers)  # (n, block)
            expected.addmm_(likely, weight[run])
            torch.mm(likely.T, scaled, out=of_weight[run])
            torch.mv(likely.T, shares, out=of_bias[run])
        touched = torch.as_tensor(bags.touched)
        of_weight.neg_()[touched] += sums(bags.columns, latent * slopes[:, None])
        of_bias.neg_()[touched] += sums(bags.columns, slopes[:, None].contiguous()).squeeze(1)
        return slopes[:, None] * seen - shares[:, None] * expected, of_weight, of_bias, None


def sums(table: Table, rows: Tensor) -> Tensor:
    """The sums (n, h) that the table says, of rows (m, h) on its device."""
    if rows.device.type == "cpu":
        from algorithms.kernels import bags_cpu

        return torch.from_numpy(bags_cpu.sums(table, rows.detach().numpy()))
    from algorithms.kernels import bags_triton

    found: Tensor = bags_triton.sums(table, rows)
    return found


def _normalizers(latent: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor | None]:
    """(n,) the logarithms of the sums of exponential scores, word by word of a block; and the probabilities
    (n, v) where all words are one block."""
    if latent.device.type != "cpu":
        from algorithms.kernels import bags_triton

        found: Tensor = bags_triton.normalizers(latent, weight, bias)
        return found, None
    runs = list(_runs(len(latent), len(weight)))
    most = torch.full((len(latent),), -torch.inf, device=latent.device)
    total = torch.zeros_like(most)
    for run in runs:
        scores = torch.addmm(bias[run], latent, weight[run].T)  # (n, block)
        before, most = most, torch.maximum(most, scores.amax(1))
        scores.sub_(most[:, None]).exp_()
        total = total * (before - most).exp() + scores.sum(1)
    kept = scores.div_(total[:, None]) if len(runs) == 1 else None
    return most + total.log(), kept


def _likely(latent: Tensor, weight: Tensor, bias: Tensor, normalizers: Tensor) -> Tensor:
    """The probabilities (n, block) of a block of words."""
    if latent.device.type != "cpu":
        from algorithms.kernels import bags_triton

        found: Tensor = bags_triton.likely(latent, weight, bias, normalizers)
        return found
    return torch.addmm(bias, latent, weight.T).sub_(normalizers[:, None]).exp_()


def _runs(documents: int, words: int) -> Iterator[slice]:
    size = max(BLOCK // max(documents, 1), 64)
    return (slice(start, min(start + size, words)) for start in range(0, words, size))
