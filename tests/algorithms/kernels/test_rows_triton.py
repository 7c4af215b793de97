"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.algorithms.kernels import rows_agreement as agreement

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

from optml.algorithms.kernels.rows import triton as rows_triton  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def put(array: np.ndarray) -> Any:
    return torch.from_numpy(np.array(array)).to(DEVICE)


@pytest.mark.parametrize(("name", "lazy", "decay"), agreement.CASES)
@pytest.mark.parametrize("width", [1, 37])
def test_they_agree_with_steps_of_every_row(
    monkeypatch: pytest.MonkeyPatch, name: str, lazy: bool, decay: float, width: int
) -> None:
    for function in ("read", "step"):
        monkeypatch.setattr(f"optml.algorithms.kernels.rows.{function}", getattr(rows_triton, function))
    agreement.agree(name, lazy, decay, put, lambda tensor: tensor.cpu().numpy(), 12, width)
