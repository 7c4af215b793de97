"""Compiled where there is a GPU; elsewhere Triton interprets the kernel on the CPU (tests/conftest.py)."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

from optml.algorithms.kernels.entropy import cpu  # noqa: E402


@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("shape", [(3, 7), (2, 4096), (2, 5000), (1, 1)])
def test_the_kernel_agrees_with_the_other(shape: tuple[int, int], gradient: bool) -> None:
    from optml.algorithms.kernels.entropy import triton

    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = torch.Generator().manual_seed(shape[1])
    logits = 4 * torch.randn(shape, generator=random)
    labels = torch.randint(0, shape[1], shape[:1], generator=random)
    labels[0] = int(logits[0].argmax())
    own = logits.to(device, copy=True)
    losses, right = triton.turn(own, labels.to(device), gradient)
    expected, hits = cpu.turn(logits, labels, gradient)
    torch.testing.assert_close(losses.cpu(), expected, atol=1e-5, rtol=1e-5)
    assert right.cpu().bool().tolist() == hits.tolist()
    if gradient:
        torch.testing.assert_close(own.cpu(), logits, atol=1e-6, rtol=1e-5)
