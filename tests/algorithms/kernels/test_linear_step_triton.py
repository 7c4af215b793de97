"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.kernels.linear.terms import LOSSES, OPTIMIZERS, Problem, Update
from tests.algorithms.kernels import linear

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta"),
]


def there(array: Any) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def place(value: Any) -> Any:
    """A problem or an update with its arrays as tensors."""
    arrays = {
        name: there(getattr(value, name))
        for name in value.__dataclass_fields__
        if isinstance(getattr(value, name), np.ndarray)
    }
    return replace(value, **arrays)


def gradient(rows: Any, labels: np.ndarray, weights: np.ndarray, problem: Problem) -> tuple[np.ndarray, ...]:
    from optml.algorithms.kernels.linear import triton as linear_step_triton

    features = there(rows) if isinstance(rows, np.ndarray) else rows
    results = linear_step_triton.gradient(features, there(labels), there(weights), place(problem))
    z = linear_step_triton.scores(features, there(weights), place(problem))
    return tuple(array.cpu().numpy() for array in (*results, z))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_the_reference(loss: str, folded: bool) -> None:
    case = linear.case(loss, rows=37, features=5, models=35 if loss == "logistic" else 3)
    problem = replace(case.problem, folded=folded)
    linear.agree(case, gradient(case.rows, case.labels, case.weights, problem))
    if folded:
        linear.agree(case, gradient(csr_array(case.rows), case.labels, case.weights, problem))


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_agree_with_the_reference(optimizer: str, use_bias: bool) -> None:
    from optml.algorithms.kernels.linear import triton as linear_step_triton

    def update(
        weights: np.ndarray,
        moments: tuple[np.ndarray, ...],
        gradients: np.ndarray,
        share: float,
        bias: bool,
        how: Update,
    ) -> None:
        tensors = there(weights), tuple(there(moment) for moment in moments)
        linear_step_triton.update(*tensors, there(gradients), share, bias, place(how))
        weights[:] = tensors[0].cpu().numpy()
        for moment, tensor in zip(moments, tensors[1], strict=True):
            moment[:] = tensor.cpu().numpy()

    linear.agree_on_updates(update, optimizer, use_bias=use_bias)
