"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

from optml.algorithms.kernels import boxes  # noqa: E402
from tests.algorithms.kernels import boxes_agreement as agreement  # noqa: E402


@pytest.fixture
def by_triton(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The operation, whose tensors take the path of CUDA's."""
    from optml.algorithms.kernels.boxes import triton as boxes_triton

    device = "cuda" if torch.cuda.is_available() else "cpu"
    monkeypatch.setattr(boxes, "_path", lambda tensor: boxes_triton)

    def there(name: str) -> Any:
        def work(*given: Any, **named: Any) -> Any:
            tensors = (value.to(device) if isinstance(value, torch.Tensor) else value for value in given)
            out = getattr(boxes, name)(*tensors, **named)
            return out.cpu() if isinstance(out, torch.Tensor) else tuple(part.cpu() for part in out)

        return work

    return SimpleNamespace(**{name: there(name) for name in ("assign", "mine", "detect")})


@pytest.mark.parametrize("seed", range(4))
def test_targets_and_negatives_are_the_references(by_triton: Any, seed: int) -> None:
    agreement.targets_agree(by_triton, seed, anchors=(1, 40, 513, 1100)[seed], most=(1, 5, 30, 9)[seed])


@pytest.mark.parametrize("seed", range(3))
def test_detections_are_the_references(by_triton: Any, seed: int) -> None:
    agreement.detections_agree(by_triton, seed, anchors=(1, 30, 60)[seed], images=1 + seed % 2)


def test_detections_of_more_than_a_block_are_the_references(by_triton: Any) -> None:
    agreement.detections_agree(by_triton, 3, anchors=600, images=1, ways=[{"topk": -1, "threshold": 0.3}])


def test_pairs_come_out_as_by_hand(by_triton: Any) -> None:
    agreement.pairs_by_hand(by_triton)


def test_suppression_comes_out_as_by_hand(by_triton: Any) -> None:
    agreement.suppression_by_hand(by_triton)


def test_a_score_of_just_the_threshold_stays(by_triton: Any) -> None:
    agreement.scores_at_the_threshold_stay(by_triton)


def test_probabilities_that_are_no_numbers_detect_nothing(by_triton: Any) -> None:
    agreement.nothing_is_detected_in_noise_of_no_number(by_triton)
