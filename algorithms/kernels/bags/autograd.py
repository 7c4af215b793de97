"""Bags of words in torch: `embedded` and `likelihoods` as differentiable functions (see `bags.py`)."""

from __future__ import annotations

from typing import Any

import torch

from optml.algorithms.kernels.bags import Bags, Table

Tensor = torch.Tensor


def embedded(bags: Bags, weight: Tensor, *, sparse: bool = False) -> Tensor:
    """(n, h): for each document the sum of its words' rows of weight (v, h), times their counts. float32.

    sparse: the gradient of the weight is a sparse tensor of the rows of words that occur."""
    found: Tensor = _Embedded.apply(weight, bags, sparse)  # type: ignore[no-untyped-call]
    return found


def likelihoods(bags: Bags, latent: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(n,) float32: the logarithm of the probability of each document's words under
    softmax(latent @ weight.T + bias), for latent (n, k), weight (v, k) and bias (v,).

    The probabilities are never there at once, but for those of small batches on a CPU."""
    found: Tensor = _Likelihoods.apply(latent, weight, bias, bags)  # type: ignore[no-untyped-call]
    return found


class _Embedded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bags: Bags, sparse: bool) -> Tensor:
        ctx.bags, ctx.shape, ctx.sparse = bags, weight.shape, sparse
        return _sums(bags.documents, weight)

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None, None]:
        bags = ctx.bags
        rows = _sums(bags.columns, slopes.contiguous())
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
        latent = latent.contiguous()
        seen = _sums(bags.documents, weight)  # (n, k)
        of_bias = _sums(bags.documents, bias[:, None]).squeeze(1)
        normalizers, ctx.kept = _normalizers(latent, weight, bias)
        ctx.save_for_backward(latent, weight, bias, seen, normalizers)
        ctx.bags = bags
        return (latent * seen).sum(1) + of_bias - torch.as_tensor(bags.lengths) * normalizers

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        latent, weight, bias, seen, normalizers = ctx.saved_tensors
        bags: Bags = ctx.bags
        shares = slopes * torch.as_tensor(bags.lengths)  # (n,)
        expected, of_weight, of_bias = _expected(latent, weight, bias, normalizers, ctx.kept, shares)
        _settle(bags, latent * slopes[:, None], of_weight)
        _settle(bags, slopes[:, None], of_bias[:, None])
        return slopes[:, None] * seen - shares[:, None] * expected, of_weight, of_bias, None


# NumPy and torch share the memory of what is on the CPU.


def _sums(table: Table, rows: Tensor) -> Tensor:
    if rows.device.type == "cpu":
        from optml.algorithms.kernels.bags import cpu as bags_cpu

        return torch.from_numpy(bags_cpu.sums(table, rows.detach().numpy()))
    from optml.algorithms.kernels.bags import triton as bags_triton

    found: Tensor = bags_triton.sums(table, rows)
    return found


def _settle(bags: Bags, rows: Tensor, found: Tensor) -> None:
    """What is found for words (v, h) becomes the sums of rows (n, h) over the documents that hold a word,
    less what it was."""
    if rows.device.type == "cpu":
        from optml.algorithms.kernels.bags import cpu as bags_cpu

        bags_cpu.settle(bags.columns, bags.touched, rows.contiguous().numpy(), found.numpy())
    else:
        found.neg_()[torch.as_tensor(bags.touched)] += _sums(bags.columns, rows)


def _normalizers(latent: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
    if latent.device.type == "cpu":
        from optml.algorithms.kernels.bags import cpu as bags_cpu

        found, kept = bags_cpu.normalizers(*(part.detach().numpy() for part in (latent, weight, bias)))
        return torch.from_numpy(found), kept
    from optml.algorithms.kernels.bags import triton as bags_triton

    return bags_triton.normalizers(latent, weight, bias), None


def _expected(
    latent: Tensor, weight: Tensor, bias: Tensor, normalizers: Tensor, kept: Any, shares: Tensor
) -> tuple[Tensor, ...]:
    if latent.device.type == "cpu":
        from optml.algorithms.kernels.bags import cpu as bags_cpu

        z, w, b, level, s = (part.detach().numpy() for part in (latent, weight, bias, normalizers, shares))
        return tuple(map(torch.from_numpy, bags_cpu.expected(z, w, b, level, kept, s)))
    from optml.algorithms.kernels.bags import triton as bags_triton

    found: tuple[Tensor, ...] = bags_triton.expected(latent, weight, bias, normalizers, shares)
    return found
