"""The data that lies beside the project on developers' machines and in CI, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def needs_shared(path: str) -> pytest.MarkDecorator:
    """Skip a test where `../shared/PATH` is not at hand."""
    return pytest.mark.skipif(not (SHARED / path).exists(), reason=f"needs ../shared/{path}")
