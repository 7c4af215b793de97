"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.algorithms.kernels import factorized_agreement as agreement

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu


def there(array: np.ndarray) -> Any:
    return torch.tensor(array, device="cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("classifier", [False, True])
@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_odd_sizes_agree_with_the_definition(shape: tuple[int, int, int, float], classifier: bool) -> None:
    agreement.sparse_batches_agree(there, shape, classifier=classifier)


@pytest.mark.parametrize("classifier", [False, True])
def test_dense_batches_score_as_sparse_ones(classifier: bool) -> None:
    agreement.dense_batches_score_as_sparse_ones(there, classifier=classifier)
