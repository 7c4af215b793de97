"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.kernels import mixtures
from optml.algorithms.kernels.mixtures import Documents
from tests.algorithms.kernels import mixtures_agreement as agreement

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def there(array: np.ndarray) -> Any:
    return torch.tensor(array, dtype=torch.float32, device=DEVICE)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 30, 3), (0, 9, 2), (30, 40, 17)])
def test_mixtures_agree_with_their_definition(shape: tuple[int, int, int]) -> None:
    counts, words, theta, prior = agreement.problem(*shape)
    k = shape[2]
    documents = Documents.of(counts).to(DEVICE)
    table, mine = there(mixtures.rows(words)), there(mixtures.rows(theta))
    mixtures.infer(documents, table, mine, there(mixtures.rows(prior[None])[0]), 3)
    dense = counts.toarray().astype(np.float64)
    expected = mixtures.reference_infer(dense, words, theta, prior, 3)
    np.testing.assert_allclose(mine.cpu().numpy()[:, :k], expected, rtol=1e-4, atol=1e-7)
    gathered = mixtures.gather(documents, table, mine).cpu().numpy()[:, :k]
    np.testing.assert_allclose(
        gathered, mixtures.reference_gather(dense, words, expected), rtol=2e-4, atol=1e-6
    )


def test_a_document_that_has_settled_is_left_alone() -> None:
    counts, words, theta, prior = agreement.problem(7, 30, 3)
    documents, table = Documents.of(counts).to(DEVICE), there(mixtures.rows(words))
    padded = there(mixtures.rows(prior[None])[0])
    once, often = (there(mixtures.rows(theta)) for _ in range(2))
    mixtures.infer(documents, table, once, padded, 1)
    mixtures.infer(documents, table, often, padded, 9, tolerance=2.0)  # no change is as large
    assert torch.equal(once, often)
