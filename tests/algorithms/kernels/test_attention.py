"""Additive attention by compiled loops, and what the steps of a decoder add up."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.kernels import attention  # noqa: E402
from tests.algorithms.kernels.attention_agreement import SHAPES, check, formula, parts  # noqa: E402


@pytest.mark.parametrize("shape", SHAPES)
def test_context_weights_and_slopes_are_those_of_the_formula(shape: tuple[int, ...]) -> None:
    check(shape)


def test_the_steps_of_a_decoder_add_up_in_one_place() -> None:
    *tensors, lengths = parts(4, 4, 6, 16, 16)

    def steps(work: Any, own: list[Any], **more: Any) -> list[Any]:
        query, keys, values, score = own
        total = torch.zeros(())
        for number, size in enumerate((4, 4, 2)):
            context, _ = work(query[:size], keys, values, score, lengths, **more, **_first(more, number))
            query = query[:size] + 0.1 * context  # so that each step waits for the one before
            total = total + query.square().sum()
        return list(torch.autograd.grad(total, own))

    def _first(more: Any, number: int) -> dict[str, bool]:
        return {"first": number == 0} if more else {}

    plain = steps(formula, [tensor.clone().requires_grad_() for tensor in tensors])
    sums = attention.Sums()
    own = steps(attention.attend, [tensor.clone().requires_grad_() for tensor in tensors], sums=sums)
    for one, other in zip(own, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert sums.keys is None


def test_what_the_kernels_take() -> None:
    keys, values = torch.zeros(1, 2, 16), torch.zeros(1, 2, 32)
    assert attention.takes(keys, values)
    assert not attention.takes(keys.double(), values.double())
    assert not attention.takes(torch.zeros(1, 2, 17), values)
