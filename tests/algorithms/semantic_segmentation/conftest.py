from __future__ import annotations

import pytest

from optml.algorithms.semantic_segmentation.hyperparameters import Hyperparameters
from optml.algorithms.vision import architecture
from optml.algorithms.vision.architecture import Architecture


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of one narrow unit a stage: that of `depth` 18, which jobs are given here."""
    widths = Architecture.widths.fget  # type: ignore[attr-defined]

    def narrow(own: Architecture) -> tuple[int, ...]:
        return (16, 16, 16, 32, 64) if own.depth == 18 else widths(own)

    monkeypatch.setitem(architecture.LARGE, 18, (1, 1, 1, 1))  # type: ignore[arg-type]
    monkeypatch.setattr(Architecture, "widths", property(narrow))
    monkeypatch.setattr(Hyperparameters, "depth", 18)
