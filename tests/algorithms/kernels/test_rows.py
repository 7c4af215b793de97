"""Rows that a batch does not touch end where a dense optimizer would have moved them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.kernels import rows
from optml.algorithms.kernels.rows.terms import KINDS, Rule, State
from tests.algorithms.kernels import rows_agreement as agreement


def same(array: np.ndarray) -> np.ndarray:
    return array


@pytest.mark.parametrize(("name", "lazy", "decay"), agreement.CASES)
def test_they_agree_with_steps_of_every_row(name: str, lazy: bool, decay: float) -> None:
    agreement.agree(name, lazy, decay, same, same, 600)


@pytest.mark.parametrize("name", KINDS)
def test_the_definition_is_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    made: dict[str, Any] = {
        "sgd": lambda p: torch.optim.SGD(p, 0.01),
        "adagrad": lambda p: torch.optim.Adagrad(p, 0.01, eps=1e-7),
        "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, eps=1e-8),
        "adadelta": lambda p: torch.optim.Adadelta(p, 1.0, rho=0.9, eps=1e-5),
        "adam": lambda p: torch.optim.Adam(p, 0.01),
    }
    rng = np.random.default_rng(0)
    reference = rows.Reference(rng.normal(size=(6, 3)), Rule(KINDS[name], decay=0.0))
    theirs = torch.nn.Parameter(torch.tensor(reference.values))
    optimizer = made[name]([theirs])
    for _ in range(20):
        some = np.unique(rng.integers(0, 6, 3))
        gradient = rng.normal(size=(len(some), 3))
        theirs.grad = torch.zeros_like(theirs)
        theirs.grad[some] = torch.tensor(gradient)
        optimizer.step()
        reference.step(some, gradient, 0.01)
    np.testing.assert_allclose(reference.values, theirs.detach().numpy(), rtol=1e-6, atol=1e-9)


def test_many_rows_are_shared_out_among_threads_without_a_difference() -> None:
    rng = np.random.default_rng(0)
    values, gradient = rng.normal(size=(2, 3000, 64)).astype(np.float32)
    tables = []
    for parts in (1, 30):
        state = State.of(values.copy(), KINDS["adam"])
        for update in (1, 2):
            for some in np.array_split(np.arange(3000), parts):
                rule = Rule(KINDS["adam"])
                rows.read(state, rule, some, update - 1, np.full(update - 1, 0.1))
                rows.step(state, rule, some, gradient[some], update, 0.01)
        tables.append(state.values)
    np.testing.assert_array_equal(*tables)
