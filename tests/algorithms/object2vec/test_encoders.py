"""Encoders against plain torch on padded sequences, with their gradients."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.object2vec.architecture import Encoder  # noqa: E402
from optml.algorithms.object2vec.encoders import encoder, split  # noqa: E402
from optml.algorithms.object2vec.tokens import look_up  # noqa: E402
from optml.algorithms.sequences.ragged import Sequences  # noqa: E402

LISTS = [[3, 5, 3, 9], [], [7], [0, 4, 0], [1, 2, 3, 4, 5, 6, 7]]
NETWORKS = [("pooled_embedding", 1, 3), ("hcnn", 3, 3), ("hcnn", 2, 2), ("hcnn", 2, 1), ("bilstm", 2, 3)]


def made(network: str, layers: int, filters: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return encoder(Encoder(network, layers, filters, 10, 7, 6, 6 if network == "pooled_embedding" else 8))


def plainly(network: str, module: torch.nn.Module, table: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """The vector of one sequence by torch's own layers."""
    embedded = table[[number for number in ids if number]]
    if network == "pooled_embedding":
        return embedded.mean(0)
    if network == "hcnn":
        hidden, parts = embedded.T[None], []
        for weight, bias in zip(module.weights, module.biases, strict=True):
            width = len(weight)
            padded = torch.nn.functional.pad(hidden, ((width - 1) // 2, width // 2))
            hidden = torch.nn.functional.conv1d(padded, weight.permute(1, 2, 0), bias).relu()
            parts.append(hidden[0].amax(1))
        return torch.cat(parts)
    hidden = embedded[None]
    for layer in module.layers:
        plain = torch.nn.LSTM(hidden.shape[2], 4, batch_first=True, bidirectional=True).to(table.dtype)
        values = {}
        for side, end in enumerate(("", "_reverse")):
            values |= {f"weight_ih_l0{end}": layer.below[side], f"weight_hh_l0{end}": layer.before[side]}
            values |= {f"bias_ih_l0{end}": layer.bias[side], f"bias_hh_l0{end}": layer.bias[side] * 0}
        hidden = torch.func.functional_call(plain, values, (hidden,))[0]
    return hidden[0].amax(0)


@pytest.mark.parametrize(("network", "layers", "filters"), NETWORKS)
def test_vectors_and_gradients_are_those_of_plain_torch(network: str, layers: int, filters: int) -> None:
    module = made(network, layers, filters)
    table = torch.randn(10, 6, requires_grad=True)
    touched, (tokens,) = look_up([Sequences.of(LISTS)])
    vectors = module(table[torch.from_numpy(touched)], tokens)
    above = torch.randn(vectors.shape)
    leaves = [table, *module.parameters()]
    gradients = torch.autograd.grad((vectors * above).sum(), leaves)
    expected = torch.stack(
        [plainly(network, module, table, ids) if any(ids) else torch.zeros(vectors.shape[1]) for ids in LISTS]
    )
    torch.testing.assert_close(vectors, expected)
    for ours, theirs in zip(gradients, torch.autograd.grad((expected * above).sum(), leaves), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("network", "layers", "filters"), NETWORKS)
def test_gradients_are_right_in_float64(network: str, layers: int, filters: int) -> None:
    module = made(network, layers, filters).double()
    touched, (tokens,) = look_up([Sequences.of(LISTS)])
    table = torch.randn(len(touched), 6, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in module.named_parameters()]

    def work(table: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), (table, tokens))

    weights = [weight.detach().clone().requires_grad_() for weight in module.parameters()]
    assert torch.autograd.gradcheck(work, (table, *weights), fast_mode=True)


@pytest.mark.parametrize(("network", "layers", "filters"), NETWORKS)
def test_padding_and_nothing_are_the_zero_vector(network: str, layers: int, filters: int) -> None:
    module = made(network, layers, filters)
    touched, (tokens,) = look_up([Sequences.of([[], [0, 0]])])
    assert not len(touched)
    assert module(torch.empty(0, 6), tokens).abs().max() == 0


def test_widths_are_split_evenly_the_first_ones_wider() -> None:
    assert split(4096, 4) == [1024] * 4
    assert split(10, 4) == [3, 3, 2, 2]
    assert np.sum(split(10000, 3)) == 10000
