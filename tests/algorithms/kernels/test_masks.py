"""Masks of classes on a CPU against their definition."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.kernels import masks  # noqa: E402
from optml.algorithms.kernels.machine import threads  # noqa: E402
from optml.algorithms.kernels.masks import cpu  # noqa: E402
from tests.algorithms.kernels import masks_agreement as agreement  # noqa: E402


@pytest.mark.parametrize(("shape", "size"), agreement.SHAPES)
def test_loss_gradient_and_masks_agree_with_the_reference(
    shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    logits, labels = agreement.problem(shape, size)
    agreement.loss_agrees(cpu, logits, labels)
    agreement.loss_agrees(cpu, logits, labels.long())
    agreement.masks_agree(cpu, logits, size)


def test_the_reference_is_torchs_upsampling_and_cross_entropy() -> None:
    logits, labels = agreement.problem((2, 5, 7, 6), (50, 31))
    exact = logits.double()
    scores = torch.nn.functional.interpolate(exact, size=(50, 31), mode="bilinear", align_corners=True)
    torch.testing.assert_close(masks.upsampled(exact, 50, 31), scores)
    expected = torch.nn.functional.cross_entropy(scores, labels.long(), ignore_index=255)
    torch.testing.assert_close(masks.reference(exact, labels), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_loss_is_differentiable_in_logits_of_any_layout_and_kind(dtype: torch.dtype) -> None:
    logits, labels = agreement.problem((2, 5, 6, 4), (30, 21))
    exact = logits.to(dtype).double().requires_grad_()
    (3 * masks.reference(exact, labels)).backward()
    for layout in (torch.contiguous_format, torch.channels_last):
        mine = logits.detach().to(dtype).contiguous(memory_format=layout).requires_grad_()
        mean, number = masks.loss(mine, labels)
        (3 * mean).backward()
        assert (mean.dtype, number.item()) == (torch.float32, (labels != 255).sum().item())
        assert mine.grad.dtype == dtype
        assert mine.grad.is_contiguous(memory_format=layout)
        rtol = 1e-2 if dtype == torch.bfloat16 else 1e-4
        torch.testing.assert_close(mine.grad.double(), exact.grad, rtol=rtol, atol=1e-7)
    turned = logits.to(dtype).transpose(2, 3).contiguous().transpose(2, 3)
    torch.testing.assert_close(masks.loss(turned, labels)[0], mean.detach())
    torch.testing.assert_close(masks.classes(turned, 30, 21), masks.classes(mine, 30, 21))


def test_places_that_a_mask_of_one_row_never_sees_get_no_gradient() -> None:
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    masks.loss(logits, torch.zeros(1, 1, 9, dtype=torch.uint8))[0].backward()
    assert logits.grad[:, :, 0].any()
    assert not logits.grad[:, :, 1:].any()


def test_no_gradient_is_made_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    work = cpu.loss
    monkeypatch.setattr(cpu, "loss", lambda *given: asked.append(given[3]) or work(*given))
    logits, labels = agreement.problem((1, 3, 4, 4), (9, 9))
    with torch.no_grad():
        masks.loss(logits.requires_grad_(), labels)
    masks.loss(logits, labels)
    assert asked == [False, True]


def test_classes_are_the_argmax_of_probabilities_where_these_are_equal() -> None:
    agreement.near_ties_agree(cpu, 90, 99)
    agreement.the_lowest_of_equal_classes_wins(cpu)


def test_scores_far_apart_agree() -> None:
    agreement.far_apart_scores_agree(cpu)


def test_labels_of_no_class_make_the_loss_no_number() -> None:
    agreement.strange_labels_make_no_number(cpu)


def test_a_batch_without_labels_has_no_loss() -> None:
    agreement.nothing_to_learn_from_is_no_loss(cpu)
    logits, labels = agreement.problem((1, 3, 4, 4), (9, 9), 1.1)
    mean, number = masks.loss(logits.requires_grad_(), labels)
    mean.backward()
    assert (mean.item(), number.item()) == (0, 0)
    assert not logits.grad.any()


@pytest.mark.parametrize("k", [1, 5, 254])
def test_confusion_counts_pairs(k: int) -> None:
    agreement.confusion_agrees(cpu, k)
    one, two = torch.zeros(2, 3, dtype=torch.uint8), torch.zeros(2, 3, dtype=torch.int64)
    assert masks.confusion(one, two, k)[0, 0] == 6


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = agreement.problem((1, 21, 9, 9), (200, 200))
    answers = []
    for number in (1, 3):
        monkeypatch.setattr(threads, "count", lambda number=number: number)
        total, _, slopes = cpu.loss(logits, labels, 255, True)
        answers.append([np.float64(total.item()).tobytes(), slopes.numpy().tobytes()])
        answers[-1] += [cpu.classes(logits, 200, 200).numpy().tobytes()]
        answers[-1] += [cpu.confusion(labels.view(-1), labels.view(-1), 21, 255).numpy().tobytes()]
    assert answers[0] == answers[1]
