"""Bags of words in torch: `embed` and `likelihoods` as differentiable functions (see `bags.py`)."""

from __future__ import annotations

from typing import Any

import torch

from optml.algorithms.kernels.bags import Bags, Table

Tensor = torch.Tensor


def embed(bags: Bags, weight: Tensor, *, sparse: bool = False) -> Tensor:
    """(n, h): for each document the sum of its words' rows of weight (v, h), times their counts. float32.

    sparse: the gradient of the weight is a sparse tensor of the rows of words that occur."""
    rows: Tensor = _Embedding.apply(weight, bags, sparse)  # type: ignore[no-untyped-call]
    return rows


def likelihoods(bags: Bags, latent: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(n,) float32: the logarithm of the probability of each document's words under
    softmax(latent @ weight.T + bias), for latent (n, k), weight (v, k) and bias (v,).

    The probabilities are never there at once, but for those of small batches on a CPU."""
    values: Tensor = _Likelihoods.apply(latent, weight, bias, bags)  # type: ignore[no-untyped-call]
    return values


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bags: Bags, sparse: bool) -> Tensor:
        ctx.bags, ctx.shape, ctx.sparse = bags, weight.shape, sparse
        return _sums(bags.documents, weight)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None]:
        bags = ctx.bags
        rows = _sums(bags.columns, slopes.contiguous())
        word_ids = torch.as_tensor(bags.word_ids)
        if ctx.sparse:
            gradient = torch.sparse_coo_tensor(
                word_ids[None], rows, ctx.shape, is_coalesced=True, check_invariants=False
            )
        else:
            gradient = torch.zeros(ctx.shape, device=rows.device)
            gradient[word_ids] = rows
        return gradient, None, None


class _Likelihoods(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: Tensor, weight: Tensor, bias: Tensor, bags: Bags) -> Tensor:
        latent = latent.contiguous()
        of_words = _sums(bags.documents, weight)  # (n, k)
        of_bias = _sums(bags.documents, bias[:, None]).squeeze(1)
        normalizers, ctx.powers = _normalizers(latent, weight, bias)
        ctx.save_for_backward(latent, weight, bias, of_words, normalizers)
        ctx.bags = bags
        return (latent * of_words).sum(1) + of_bias - torch.as_tensor(bags.lengths) * normalizers

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        latent, weight, bias, of_words, normalizers = ctx.saved_tensors
        bags: Bags = ctx.bags
        shares = slopes * torch.as_tensor(bags.lengths)  # (n,)
        of_latent, of_weight, of_bias = _expectations(latent, weight, bias, normalizers, ctx.powers, shares)
        _settle(bags, latent * slopes[:, None], of_weight)
        _settle(bags, slopes[:, None], of_bias[:, None])
        return slopes[:, None] * of_words - shares[:, None] * of_latent, of_weight, of_bias, None


# NumPy and torch share the memory of what is on the CPU.


def _sums(table: Table, rows: Tensor) -> Tensor:
    if rows.device.type == "cpu":
        from optml.algorithms.kernels.bags import cpu as bags_cpu

        return torch.from_numpy(bags_cpu.sums(table, rows.detach().numpy()))
    from optml.algorithms.kernels.bags import triton as bags_triton

    result: Tensor = bags_triton.sums(table, rows)
    return result


def _settle(bags: Bags, rows: Tensor, totals: Tensor) -> None:
    """What is found for words (v, h) becomes the sums of rows (n, h) over the documents that hold a word,
    less what it was."""
    if rows.device.type == "cpu":
        from optml.algorithms.kernels.bags import cpu as bags_cpu

        bags_cpu.settle(bags.columns, bags.word_ids, rows.contiguous().numpy(), totals.numpy())
    else:
        totals.neg_()[torch.as_tensor(bags.word_ids)] += _sums(bags.columns, rows)


def _normalizers(latent: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
    if latent.device.type == "cpu":
        from optml.algorithms.kernels.bags import cpu as bags_cpu

        levels, powers = bags_cpu.normalizers(*(part.detach().numpy() for part in (latent, weight, bias)))
        return torch.from_numpy(levels), powers
    from optml.algorithms.kernels.bags import triton as bags_triton

    return bags_triton.normalizers(latent, weight, bias), None


def _expectations(
    latent: Tensor, weight: Tensor, bias: Tensor, normalizers: Tensor, powers: Any, shares: Tensor
) -> tuple[Tensor, ...]:
    if latent.device.type == "cpu":
        from optml.algorithms.kernels.bags import cpu as bags_cpu

        z, w, b, level, s = (part.detach().numpy() for part in (latent, weight, bias, normalizers, shares))
        return tuple(map(torch.from_numpy, bags_cpu.expectations(z, w, b, level, powers, s)))
    from optml.algorithms.kernels.bags import triton as bags_triton

    result: tuple[Tensor, ...] = bags_triton.expectations(latent, weight, bias, normalizers, shares)
    return result
