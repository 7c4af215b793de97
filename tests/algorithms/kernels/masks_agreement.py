"""Cases that every path of `kernels/masks` is held to. A path has the functions of `kernels/masks/cpu.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from optml.algorithms.kernels import masks

# logits (B, K, h, w), and the rows and columns of the mask
SHAPES = [
    ((2, 21, 4, 5), (18, 31)),
    ((1, 2, 1, 1), (5, 5)),
    ((3, 33, 4, 1), (20, 1)),
    ((1, 5, 3, 3), (1, 9)),
    ((2, 3, 5, 4), (5, 4)),
    ((1, 4, 9, 8), (3, 2)),
    ((1, 150, 3, 3), (17, 9)),
]


def problem(shape: tuple[int, ...], size: tuple[int, int], ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    """Logits and labels (uint8), of which a share is 255."""
    torch.manual_seed(sum(shape))
    labels = torch.randint(0, shape[1], (shape[0], *size), dtype=torch.uint8)
    labels[torch.rand(labels.shape) < ignored] = 255
    return 3 * torch.randn(shape), labels


def loss_agrees(path: Any, logits: Tensor, labels: Tensor, rtol: float = 1e-5) -> None:
    """Value, number of pixels and gradient, in the layout of the logits."""
    exact = logits.detach().double().requires_grad_()
    expected = masks.reference(exact, labels)
    expected.backward()
    total, number, slopes = path.loss(masks.terms.trimmed(logits, *labels.shape[1:]), labels, 255, True)
    assert number.item() == (labels != 255).sum().item()
    count = max(number.item(), 1)
    assert abs(total.item() / count - expected.item()) <= rtol * max(1, expected.item())
    assert exact.grad is not None
    gradient = masks.terms.trimmed(exact.grad, *labels.shape[1:])
    torch.testing.assert_close(
        slopes.double() / count, gradient, rtol=0, atol=rtol * gradient.abs().max().item()
    )
    assert slopes.stride() == torch.empty_like(masks.terms.trimmed(logits, *labels.shape[1:])).stride()
    alone, _, none = path.loss(masks.terms.trimmed(logits, *labels.shape[1:]), labels, 255, False)
    assert none is None
    assert alone.item() == total.item()


def masks_agree(path: Any, logits: Tensor, size: tuple[int, int]) -> None:
    scores = masks.upsampled(logits.double(), *size)
    low = masks.terms.trimmed(logits, *size)
    chances, found = path.probabilities(low, *size), path.classes(low, *size)
    torch.testing.assert_close(chances.double(), scores.softmax(dim=1), rtol=0, atol=1e-6)
    own = scores.gather(1, found.long()[:, None])[:, 0]
    assert (scores.amax(dim=1) - own).max() <= 1e-5
    torch.testing.assert_close(chances.argmax(dim=1), found.long(), rtol=0, atol=0)


def near_ties_agree(path: Any, height: int, width: int) -> None:
    """Scores that differ by less than their probabilities can say."""
    torch.manual_seed(0)
    steps = torch.randint(-3, 4, (1, 7, 6, 6)).float()
    for level in (0.0, 0.01, 1.0, 100.0):
        logits = level + steps * 2.0**-26 * max(level, 0.03)
        found = path.classes(logits, height, width)
        chances = path.probabilities(logits, height, width)
        torch.testing.assert_close(torch.from_numpy(chances.numpy().argmax(axis=1)), found.long())
        assert len(found.unique()) > 1 or level == 100


def the_lowest_of_equal_classes_wins(path: Any) -> None:
    logits = torch.zeros(1, 40, 3, 3)
    logits[:, [7, 20, 39]] = 1
    assert (path.classes(logits, 9, 9) == 7).all()


def far_apart_scores_agree(path: Any) -> None:
    """Of places that differ by more than an exponential can say."""
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]])[None, :, None, :]
    masks_agree(path, logits, (1, 9))
    loss_agrees(path, logits, torch.tensor([[[0, 0, 1, 0, 1, 1, 1, 0, 255]]], dtype=torch.uint8))


def strange_labels_make_no_number(path: Any) -> None:
    logits, labels = problem((1, 3, 4, 4), (9, 9), 0)
    labels[0, 4, 4] = 3
    assert torch.isnan(path.loss(logits, labels, 255, True)[0])
    assert torch.isnan(path.loss(logits, labels.long() - 1, 255, False)[0])


def nothing_to_learn_from_is_no_loss(path: Any) -> None:
    logits, labels = problem((1, 3, 4, 4), (9, 9), 1.1)
    total, number, slopes = path.loss(logits, labels, 255, True)
    assert (total.item(), number.item()) == (0, 0)
    assert not slopes.any()


def confusion_agrees(path: Any, k: int, pixels: int = 3001) -> None:
    rng = np.random.default_rng(k)
    labels, predicted = rng.integers(0, k, (2, pixels))
    labels[::7], labels[::501], predicted[::333] = 255, k, k
    expected = np.zeros((k, k), np.int64)
    for label, own in zip(labels, predicted, strict=True):
        if label != 255 and label < k and own < k:
            expected[label, own] += 1
    for dtype in (torch.uint8, torch.int64):
        pair = (torch.from_numpy(array).to(dtype) for array in (predicted, labels))
        np.testing.assert_array_equal(path.confusion(*pair, k, 255).numpy(), expected)
