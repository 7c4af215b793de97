"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

from optml.algorithms.kernels import attention  # noqa: E402
from tests.algorithms.kernels.attention_agreement import SHAPES, check  # noqa: E402


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernels_agree_with_the_formula(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    from optml.algorithms.kernels.attention import triton

    monkeypatch.setattr(attention, "_path", lambda _: triton)
    check(shape, "cuda" if torch.cuda.is_available() else "cpu")
