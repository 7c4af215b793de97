"""Additive attention by its formula in float64, and what is compared with it."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.kernels import attention  # noqa: E402

SHAPES = [(3, 3, 5, 16, 32), (2, 4, 1, 32, 16), (1, 1, 9, 48, 16)]  # m, n, s, a, w


def parts(m: int, n: int, s: int, a: int, w: int) -> list[Any]:
    random = torch.Generator().manual_seed(m + n + s + a + w)
    shapes = (m, a), (n, s, a), (n, s, w), (a,)
    tensors = [torch.randn(shape, generator=random) for shape in shapes]
    lengths = torch.randint(1, s + 1, (n,), generator=random)
    lengths[0] = s
    return [*tensors, lengths]


def formula(query: Any, keys: Any, values: Any, score: Any, lengths: Any) -> Any:
    m = len(query)
    scores = (torch.tanh(keys[:m] + query[:, None]) * score).sum(2)
    mask = torch.arange(keys.shape[1]) >= lengths[:m, None]
    weights = scores.masked_fill(mask, -torch.inf).softmax(1)
    return (weights[:, :, None] * values[:m]).sum(1), weights


def slopes(work: Any, tensors: list[Any], lengths: Any, above: Any) -> list[Any]:
    own = [tensor.clone().requires_grad_() for tensor in tensors]
    context, weights = work(*own, lengths)
    grads = torch.autograd.grad((context * above).sum(), own)
    return [context.detach(), weights.detach(), *grads]


def check(shape: tuple[int, ...], device: str = "cpu") -> None:
    """Context, weights and slopes are those of the formula."""
    *tensors, lengths = parts(*shape)
    above = torch.randn(shape[0], shape[4], generator=torch.Generator().manual_seed(1))
    expected = slopes(formula, [tensor.double() for tensor in tensors], lengths, above.double())
    there = [tensor.to(device) for tensor in tensors]
    found = slopes(attention.attend, there, lengths.to(device), above.to(device))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other.float(), atol=1e-5, rtol=1e-5)
