"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.algorithms.kernels import pair_step_agreement as agreement

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu


def there(array: np.ndarray) -> Any:
    return torch.tensor(array, device="cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    "shape", [*agreement.SHAPES[:-1], pytest.param(agreement.SHAPES[-1], marks=pytest.mark.slow)]
)
def test_odd_sizes_agree_with_the_definition(shape: tuple[int, int, int, int, int, bool]) -> None:
    agreement.batches_agree(there, shape)
