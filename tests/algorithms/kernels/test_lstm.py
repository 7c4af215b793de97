"""The recurrence of an LSTM layer: values and gradients are those of the formulas in float64."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.kernels import lstm  # noqa: E402


@pytest.mark.parametrize(
    ("steps", "batch", "width", "rate"),
    [(7, 5, 3, 0.3), (9, 32, 40, 0.1), (6, 8, 64, 0.0), (5, 4, 33, 0.5), (1, 1, 1, 0.2), (3, 6, 16, 1.0)],
)
def test_values_and_gradients_are_those_of_autograd(steps: int, batch: int, width: int, rate: float) -> None:
    torch.manual_seed(steps)
    gates, weight = torch.randn(steps, batch, 4 * width), 0.3 * torch.randn(4 * width, width)
    real = torch.rand(steps, batch) > 0.2
    zoneout = torch.rand(2, steps, batch, width) < rate if rate else None
    above = torch.randn(steps, batch, width)
    results = []
    for dtype, work in ((torch.float32, lstm.recurrence), (torch.float64, lstm.reference)):
        inputs = [tensor.detach().to(dtype).clone().requires_grad_() for tensor in (gates, weight)]
        hidden = work(*inputs, real, zoneout)
        (hidden * above).sum().backward()
        results.append([hidden.detach(), *(tensor.grad for tensor in inputs)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5)


def test_the_reference_is_torchs_lstm_where_nothing_is_kept() -> None:
    torch.manual_seed(0)
    layer = torch.nn.LSTM(3, 5).double()
    inputs = torch.randn(6, 2, 3, dtype=torch.float64)
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    gates = torch.nn.functional.linear(inputs, layer.weight_ih_l0, bias)
    real = torch.ones(6, 2, dtype=torch.bool)
    torch.testing.assert_close(lstm.reference(gates, layer.weight_hh_l0, real, None), layer(inputs)[0])


def test_a_padded_step_begins_afresh_and_leaves_its_state_to_the_next() -> None:
    torch.manual_seed(0)
    gates, weight = torch.randn(5, 4, 8), torch.randn(8, 2)
    real = torch.ones(5, 4, dtype=torch.bool)
    real[:3] = False
    hidden = lstm.recurrence(gates, weight, real, None)
    for step in range(3):
        alone = lstm.recurrence(gates[step : step + 1], weight, real[:1], None)
        torch.testing.assert_close(hidden[step : step + 1], alone)
    torch.testing.assert_close(hidden[2:], lstm.recurrence(gates[2:], weight, real[2:], None))
    assert not torch.allclose(hidden[3:], lstm.recurrence(gates[3:], weight, real[3:], None))
