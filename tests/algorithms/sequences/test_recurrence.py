"""LSTM layers over packed sequences are torch's over each alone; gradients are those of autograd."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.kernels import lstm as kernel  # noqa: E402
from optml.algorithms.sequences.packing import Packing  # noqa: E402
from optml.algorithms.sequences.recurrence import BidirectionalLSTM, gru, lstm  # noqa: E402

LENGTHS = np.array([3, 0, 5, 1, 5])


def test_packed_and_unpacked_again_tokens_are_where_they_were() -> None:
    packing = Packing.of(LENGTHS)
    tokens = torch.arange(14.0)[:, None]
    assert packing.sizes == [4, 3, 3, 2, 2]
    assert packing.pack(tokens)[:4, 0].tolist() == [3, 9, 0, 8]  # the first tokens, of the longest first
    assert packing.pack(tokens, reverse=True)[:4, 0].tolist() == [7, 13, 2, 8]  # the last ones
    for reverse in (False, True):
        found = packing.unpack(packing.pack(tokens, reverse=reverse), reverse=reverse)
        torch.testing.assert_close(found, tokens)


def test_each_sequence_is_read_as_if_it_were_alone() -> None:
    torch.manual_seed(0)
    layer = BidirectionalLSTM(3, 4).double()
    theirs = torch.nn.LSTM(3, 4, bidirectional=True).double()
    with torch.no_grad():
        for side, suffix in enumerate(("", "_reverse")):
            getattr(theirs, f"weight_ih_l0{suffix}").copy_(layer.below[side])
            getattr(theirs, f"weight_hh_l0{suffix}").copy_(layer.before[side])
            getattr(theirs, f"bias_ih_l0{suffix}").copy_(layer.bias[side])
            getattr(theirs, f"bias_hh_l0{suffix}").zero_()
    tokens = torch.randn(int(LENGTHS.sum()), 3, dtype=torch.float64)
    found = layer(tokens, Packing.of(LENGTHS)).split(LENGTHS.tolist())
    for part, alone in zip(found, tokens.split(LENGTHS.tolist()), strict=True):
        if len(alone):
            torch.testing.assert_close(part, theirs(alone)[0])


@pytest.mark.parametrize("lengths", [LENGTHS, np.array([1, 1]), np.array([2])])
def test_gradients_are_those_of_differences(lengths: np.ndarray) -> None:
    torch.manual_seed(1)
    packing = Packing.of(lengths)
    gates = torch.randn(int(lengths.sum()), 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda g, w: lstm(g, w, packing), (gates, weight))


def test_equal_lengths_give_what_the_kernel_of_deepar_gives() -> None:
    torch.manual_seed(2)
    packing = Packing.of(np.full(4, 6))
    gates, weight = torch.randn(24, 20), torch.randn(20, 5)
    real = torch.ones(6, 4, dtype=torch.bool)
    expected = kernel.recurrence(gates.view(6, 4, 20), weight, real, None)
    torch.testing.assert_close(lstm(gates, weight, packing).view(6, 4, 5), expected, rtol=1e-5, atol=1e-5)


def test_no_tokens_are_no_mistake() -> None:
    layer = BidirectionalLSTM(3, 2)
    found = layer(torch.empty(0, 3), Packing.of(np.zeros(2, np.int64)))
    assert found.shape == (0, 4)
    found.sum().backward()
    assert not layer.before.grad.any()


@pytest.mark.parametrize("lengths", [LENGTHS, np.array([1, 1])])
def test_a_gru_is_torchs_and_its_gradients_those_of_differences(lengths: np.ndarray) -> None:
    torch.manual_seed(3)
    packing = Packing.of(lengths)
    theirs = torch.nn.GRU(3, 2).double()
    tokens = torch.randn(int(lengths.sum()), 3, dtype=torch.float64)
    weights = [theirs.weight_hh_l0.detach(), theirs.bias_hh_l0.detach()]
    gates = torch.nn.functional.linear(packing.pack(tokens), theirs.weight_ih_l0, theirs.bias_ih_l0).detach()
    found = packing.unpack(gru(gates, *weights, packing)).split(lengths.tolist())
    for part, alone in zip(found, tokens.split(lengths.tolist()), strict=True):
        if len(alone):
            torch.testing.assert_close(part, theirs(alone)[0])
    tensors = [tensor.requires_grad_() for tensor in (gates, *weights)]
    assert torch.autograd.gradcheck(lambda g, w, b: gru(g, w, b, packing), tensors)
