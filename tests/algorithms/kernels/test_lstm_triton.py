"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

from optml.algorithms.kernels import lstm  # noqa: E402


@pytest.mark.parametrize(
    ("steps", "batch", "width", "rate"), [(4, 5, 3, 0.3), (2, 17, 40, 0.1), (2, 3, 65, 0.0), (1, 1, 1, 0.2)]
)
def test_values_and_gradients_are_those_of_autograd(steps: int, batch: int, width: int, rate: float) -> None:
    torch.manual_seed(steps)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    gates, weight = torch.randn(steps, batch, 4 * width), 0.3 * torch.randn(4 * width, width)
    real = torch.rand(steps, batch) > 0.2
    zoneout = torch.rand(2, steps, batch, width) < rate if rate else None
    above = torch.randn(steps, batch, width)
    results = []
    for dtype, place in ((torch.float32, device), (torch.float64, "cpu")):
        work = lstm.reference if dtype == torch.float64 else lstm.OnDevice.apply
        inputs = [tensor.clone().to(place, dtype).requires_grad_() for tensor in (gates, weight)]
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        flags = [None if tensor is None else tensor.to(place) for tensor in (real, zoneout)]
        hidden = work(*inputs, *flags)
        (hidden * above.to(place)).sum().backward()
        results.append([hidden.detach(), *(tensor.grad for tensor in inputs)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours.cpu().double(), expected, rtol=1e-5, atol=1e-5)
