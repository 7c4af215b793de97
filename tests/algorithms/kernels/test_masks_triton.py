"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

from tests.algorithms.kernels import masks_agreement as agreement  # noqa: E402


def _there(name: str) -> Any:
    def work(*given: Any) -> Any:
        from optml.algorithms.kernels.masks import triton as masks_triton

        device = "cuda" if torch.cuda.is_available() else "cpu"
        tensors = (value.to(device) if isinstance(value, torch.Tensor) else value for value in given)
        out = getattr(masks_triton, name)(*tensors)
        return out.cpu() if isinstance(out, torch.Tensor) else [value and value.cpu() for value in out]

    return work


def _loss(*given: Any) -> Any:
    from optml.algorithms.kernels.masks import triton as masks_triton

    device = "cuda" if torch.cuda.is_available() else "cpu"
    total, number, slopes = masks_triton.loss(*(value.to(device) for value in given[:2]), *given[2:])
    return total.cpu(), number.cpu(), None if slopes is None else slopes.cpu()


by_triton = SimpleNamespace(
    loss=_loss,
    classes=_there("classes"),
    probabilities=_there("probabilities"),
    confusion=_there("confusion"),
)


@pytest.mark.parametrize(("shape", "size"), agreement.SHAPES)
def test_loss_gradient_and_masks_agree_with_the_reference(
    shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    logits, labels = agreement.problem(shape, size)
    agreement.loss_agrees(by_triton, logits, labels)
    agreement.masks_agree(by_triton, logits, size)


def test_logits_of_any_layout_are_read() -> None:
    logits, labels = agreement.problem((1, 5, 4, 3), (13, 11))
    last = logits.contiguous(memory_format=torch.channels_last)
    agreement.loss_agrees(by_triton, last, labels.long())
    agreement.masks_agree(by_triton, last, (13, 11))
    half = logits.bfloat16()
    agreement.loss_agrees(by_triton, half, labels)
    agreement.masks_agree(by_triton, half.transpose(2, 3), (13, 11))


def test_classes_are_the_argmax_of_probabilities_where_these_are_equal() -> None:
    agreement.near_ties_agree(by_triton, 5, 200)
    agreement.the_lowest_of_equal_classes_wins(by_triton)


def test_scores_far_apart_agree() -> None:
    agreement.far_apart_scores_agree(by_triton)


def test_labels_of_no_class_make_the_loss_no_number() -> None:
    agreement.strange_labels_make_no_number(by_triton)


def test_a_batch_without_labels_has_no_loss() -> None:
    agreement.nothing_to_learn_from_is_no_loss(by_triton)


@pytest.mark.parametrize("k", [1, 5, 254])
def test_confusion_counts_pairs(k: int) -> None:
    agreement.confusion_agrees(by_triton, k)
