"""Comparators and what stands behind them, against the same written out."""

from __future__ import annotations

from itertools import permutations

import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.object2vec.comparison import compared, width  # noqa: E402
from optml.algorithms.object2vec.network import Pairing  # noqa: E402
from tests.algorithms.object2vec.training import hyperparameters  # noqa: E402

ORDERS = [order for size in (1, 2, 3) for order in permutations(("hadamard", "concat", "abs_diff"), size)]


def plainly(u: torch.Tensor, v: torch.Tensor, order: tuple[str, ...]) -> torch.Tensor:
    whole = {"hadamard": u * v, "concat": torch.cat([u, v], 1), "abs_diff": (u - v).abs()}
    return torch.cat([whole[name] for name in order], 1)


@pytest.mark.parametrize("order", ORDERS)
def test_comparators_in_any_order_are_their_outputs_side_by_side(order: tuple[str, ...]) -> None:
    torch.manual_seed(len(order))
    u, v = (torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weight = torch.randn(4, width(order, 3), dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    expected = plainly(u, v, order) @ weight.T + bias
    torch.testing.assert_close(compared(u, v, weight, bias, order), expected)

    def work(*given: torch.Tensor) -> torch.Tensor:
        return compared(*given, order)

    assert torch.autograd.gradcheck(work, (u, v, weight, bias), fast_mode=True)


def test_the_logged_network_has_417794_parameters() -> None:
    """AWS's log: hadamard, 300 wide, two layers of 512, two classes."""
    settings = hyperparameters(
        comparator_list="hadamard", enc0_token_embedding_dim=300, mlp_dim=512, mlp_layers=2
    )
    assert sum(weight.numel() for weight in Pairing(settings).parameters()) == 417794


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_the_mlp_is_plain_torch_s(activation: str, layers: int) -> None:
    settings = hyperparameters(mlp_activation=activation, mlp_layers=layers, num_classes=3)
    network = Pairing(settings)
    u, v = torch.randn(2, 4, 6)
    hidden = plainly(u, v, settings.comparators)
    for layer in network.mlp:
        hidden = layer(hidden)
        hidden = getattr(torch, activation)(hidden) if activation != "linear" else hidden
    torch.testing.assert_close(network(u, v), network.output(hidden))


def test_losses_are_cross_entropy_or_squares() -> None:
    outputs, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    found = Pairing(hyperparameters(num_classes=3)).losses(outputs, labels)
    torch.testing.assert_close(found, -outputs.log_softmax(1)[torch.arange(4), labels])
    numbers = torch.tensor([1.0, 2.0, -1.0, 0.0])
    network = Pairing(hyperparameters(output_layer="mean_squared_error"))
    torch.testing.assert_close(network.losses(outputs[:, :1], numbers), (outputs[:, 0] - numbers) ** 2)


def test_dropout_keeps_the_mean_and_is_none_without_random_numbers() -> None:
    network = Pairing(hyperparameters(dropout=0.25, mlp_layers=0))
    ones = torch.ones(1, 6)
    random = torch.Generator().manual_seed(0)
    plain = network(ones, ones)
    torch.testing.assert_close(network(ones, ones), plain)
    many = network(ones.expand(4000, 6), ones.expand(4000, 6), random)
    assert len(many.unique(dim=0)) > 100
    weights = network.output.weight.detach()
    u, h, a = weights[:, 6:18].sum(1), weights[:, :6].sum(1), weights[:, 18:].sum(1)
    expected = u + h + a * 2 * 0.75 * 0.25 / 0.75  # |u - v| of values 0 and 4/3
    torch.testing.assert_close(many.mean(0), expected + network.output.bias, atol=0.05, rtol=0)


def test_all_dropped_is_no_division_by_zero() -> None:
    network = Pairing(hyperparameters(dropout=1))
    assert torch.isfinite(network(torch.ones(2, 6), torch.ones(2, 6), torch.Generator())).all()
