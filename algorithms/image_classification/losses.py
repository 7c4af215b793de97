"""What training makes small, and how answers are judged: for one label an image, and for several.

one:      cross entropy of softmax.                       accuracy: the share of images whose label is most
probable several:  binary cross entropy of sigmoid, mean over the labels; with weights w_c times that of what
has label c
                                                          accuracy: the share of (image, label) that p >= 1/2
                                                          tells
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

Tensor = torch.Tensor

LIGHTEST, HEAVIEST = 0.1, 100.0


class Criterion(Protocol):
    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Sum over the images of (n, classes) scores."""

    def hits(self, scores: Tensor, labels: Tensor) -> Tensor:
        """How many images are right; of several labels the share of them."""


class OneLabel:
    """labels: (n,) int64."""

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(scores, labels, reduction="sum")

    def hits(self, scores: Tensor, labels: Tensor) -> Tensor:
        return (scores.argmax(1) == labels).sum()


class SeveralLabels:
    """labels: (n, classes) float32 of 0 and 1.   weights: (classes,) of the ones among them."""

    def __init__(self, weights: Tensor | None = None) -> None:
        self.weights = weights

    def loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        cells = functional.binary_cross_entropy_with_logits(
            scores, labels, pos_weight=self.weights, reduction="sum"
        )
        return cells / scores.shape[1]

    def hits(self, scores: Tensor, labels: Tensor) -> Tensor:
        return ((scores >= 0) == (labels > 0.5)).sum(dtype=torch.float32) / scores.shape[1]


def top(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """How many labels (of several: the most probable one that an image has) are among the k highest
    scores."""
    chosen = scores.topk(k, 1).indices
    if labels.ndim == 1:
        return (chosen == labels[:, None]).any(1).sum()
    return labels.gather(1, chosen).any(1).sum()


def positive_weights(counts: np.ndarray, images: int) -> np.ndarray:
    """(N - n_c) / n_c of each label c that n_c of N images have, within [0.1, 100]; 1 where none has it."""
    counts = np.asarray(counts, np.float64)
    weights = (images - counts) / np.maximum(counts, 1)
    return np.where(counts > 0, weights.clip(LIGHTEST, HEAVIEST), 1.0).astype(np.float32)
