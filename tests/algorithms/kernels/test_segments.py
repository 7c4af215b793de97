"""Maxima over runs of rows, and where their gradients go."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.kernels import segments  # noqa: E402

STARTS, STOPS = np.array([1, 4, 4, 9]), np.array([3, 4, 8, 10])


@pytest.mark.parametrize("width", [1, 7, 64])
@pytest.mark.parametrize("work", [segments.maxima, segments.reference])
def test_they_are_the_maxima_of_each_run(work: object, width: int) -> None:
    torch.manual_seed(width)
    rows = torch.randn(12, width, requires_grad=True)
    highest = work(rows, STARTS, STOPS)  # type: ignore[operator]
    expected = [
        rows[a:b].amax(0) if b > a else torch.zeros(width) for a, b in zip(STARTS, STOPS, strict=True)
    ]
    torch.testing.assert_close(highest, torch.stack(expected))
    above = torch.randn(4, width)
    (gradient,) = torch.autograd.grad((highest * above).sum(), rows, retain_graph=True)
    (by_torch,) = torch.autograd.grad((torch.stack(expected) * above).sum(), rows)
    torch.testing.assert_close(gradient, by_torch)


def test_the_first_of_equal_values_has_the_gradient() -> None:
    rows = torch.zeros(3, 2, requires_grad=True)
    segments.maxima(rows, np.array([0]), np.array([3])).sum().backward()
    assert rows.grad is not None
    assert rows.grad.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_no_runs_and_no_rows_are_no_mistake() -> None:
    none = np.empty(0, np.int64)
    assert segments.maxima(torch.empty(0, 3), none, none).shape == (0, 3)
    assert segments.maxima(torch.empty(0, 3), np.array([0]), np.array([0])).tolist() == [[0, 0, 0]]
