"""Optimizers: Adadelta by its definition, and rows without a gradient."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.optimizers import EPSILON, RHO, SPARSE, Adadelta, optimizer  # noqa: E402

ROWS, WIDTH, STEPS = 6, 3, 12


def gradients() -> list[np.ndarray]:
    """Of which most rows are zero in most steps."""
    rng = np.random.default_rng(0)
    there = rng.random((STEPS, ROWS, 1)) < 0.3
    there[0] = True
    return list((rng.normal(size=(STEPS, ROWS, WIDTH)) * there).astype(np.float32))


def rows_of(gradient: np.ndarray) -> torch.Tensor:
    dense, rows = torch.from_numpy(gradient), torch.from_numpy(np.flatnonzero(gradient.any(axis=1)))
    return torch.sparse_coo_tensor(
        rows[None], dense[rows], dense.shape, is_coalesced=True, check_invariants=False
    )


def run(name: str, *, sparse: bool) -> np.ndarray:
    parameter = torch.nn.Parameter(torch.ones(ROWS, WIDTH))
    made = optimizer(name, [parameter], 0.1)
    for gradient in gradients():
        parameter.grad = rows_of(gradient) if sparse else torch.from_numpy(gradient)
        made.step()
    return np.asarray(parameter.detach())


@pytest.mark.parametrize("name", SPARSE)
def test_rows_without_a_gradient_cost_nothing_and_change_nothing(name: str) -> None:
    np.testing.assert_allclose(run(name, sparse=True), run(name, sparse=False), rtol=1e-5, atol=1e-6)


def test_adadelta_by_its_definition() -> None:
    values, squares, steps = np.ones((ROWS, WIDTH)), np.zeros((ROWS, WIDTH)), np.zeros((ROWS, WIDTH))
    for gradient in gradients():
        squares = RHO * squares + (1 - RHO) * gradient.astype(np.float64) ** 2
        step = np.sqrt(steps + EPSILON) / np.sqrt(squares + EPSILON) * gradient
        steps = RHO * steps + (1 - RHO) * step**2
        values = values - step
    np.testing.assert_allclose(run("adadelta", sparse=False), values, rtol=1e-5)
    peer = torch.nn.Parameter(torch.ones(ROWS, WIDTH))
    other = torch.optim.Adadelta([peer], lr=1.0, rho=RHO, eps=EPSILON)
    for gradient in gradients():
        peer.grad = torch.from_numpy(gradient)
        other.step()
    np.testing.assert_allclose(values, peer.detach().numpy(), rtol=1e-5)


def test_a_resumed_optimizer_goes_on_as_if_undisturbed() -> None:
    def step(made: Adadelta, parameter: torch.nn.Parameter, rows: list[int]) -> None:
        gradient = np.zeros((ROWS, WIDTH), np.float32)
        gradient[rows] = 1
        parameter.grad = rows_of(gradient)
        made.step()

    parameters = [torch.nn.Parameter(torch.ones(ROWS, WIDTH)) for _ in range(2)]
    first, second = (Adadelta([parameter]) for parameter in parameters)
    for rows in ([0, 1], [2], [1]):
        step(first, parameters[0], rows)
    with torch.no_grad():
        parameters[1].copy_(parameters[0])
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for made, parameter in ((first, parameters[0]), (second, parameters[1])):
        step(made, parameter, [0, 3])
        assert made.state[parameter]["stepped"].dtype == torch.int64
    assert torch.equal(*parameters)
