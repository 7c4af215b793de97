"""The loss by hand, and in plain float64."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.kernels.boxes import reference  # noqa: E402
from optml.algorithms.object_detection.design import VARIANCES, design  # noqa: E402
from optml.algorithms.object_detection.losses import multibox_loss  # noqa: E402
from optml.algorithms.object_detection.network import grids  # noqa: E402


def test_two_anchors_by_hand() -> None:
    anchors = torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1]])
    truths = torch.tensor([[[1, 0, 0, 0.5, 0.5]]])
    scores = torch.zeros(1, 4, 3)
    scores[0, 3, 0] = 2  # the most like background: of three negatives it is the last
    offsets = torch.zeros(1, 4, 4)
    offsets[0, 0] = torch.tensor([0.5, 0, -3, 0])
    loss = multibox_loss(scores, offsets, anchors, truths)
    alone = -math.log(1 / 3)
    background = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert (loss.positives, loss.examples) == (1, 4)
    assert float(loss.smooth_l1) == pytest.approx(0.5 * 0.25 + 3 - 0.5)
    assert float(loss.cross_entropy) == pytest.approx(3 * alone + background, rel=1e-6)
    assert float(loss.total) == pytest.approx(3 * alone + background + 2.625, rel=1e-6)


def test_random_cases_are_the_plain_ones() -> None:
    own = design("resnet-50", 300, 3)
    anchors = own.anchors.boxes(grids(own, 64))
    for seed in range(12):
        random = np.random.default_rng(seed)
        count = int(random.integers(0, 6))
        corners = random.uniform(0, 0.6, (count, 2))
        boxes = np.concatenate([corners, corners + random.uniform(0.1, 0.4, (count, 2))], axis=1)
        truths = np.full((2, 7, 5), -1.0, np.float32)
        truths[1, :count] = np.column_stack([random.integers(0, 3, count), boxes])
        scores = random.normal(size=(2, len(anchors), 4)).astype(np.float32)
        offsets = random.normal(size=(2, len(anchors), 4)).astype(np.float32)
        loss = multibox_loss(*map(torch.from_numpy, (scores, offsets, anchors, truths)))
        chances = np.exp(scores.astype(np.float64))
        chances /= chances.sum(axis=2, keepdims=True)
        labels, goals = reference.assign(anchors, truths, VARIANCES)
        labels = reference.mine(labels, chances[:, :, 0])
        chosen, positive = labels >= 0, labels > 0
        entropy = -np.log(np.take_along_axis(chances, labels.clip(0)[..., None], 2)[..., 0][chosen]).sum()
        apart = np.abs(offsets - goals)[positive]
        distance = np.where(apart < 1, apart**2 / 2, apart - 0.5).sum()
        assert (loss.positives, loss.examples) == (positive.sum(), chosen.sum())
        assert float(loss.total) == pytest.approx(entropy + distance, rel=1e-4)
        assert float(loss.cross_entropy) == pytest.approx(entropy, rel=1e-4)


def test_negatives_are_three_times_the_positives_and_pictures_without_objects_are_none() -> None:
    own = design("resnet-50", 300, 1)
    anchors = torch.from_numpy(own.anchors.boxes(grids(own, 300)))
    truths = torch.tensor([[[0, 0.3, 0.3, 0.6, 0.6]], [[-1, -1, -1, -1, -1]]])
    loss = multibox_loss(torch.zeros(2, 2268, 2), torch.zeros(2, 2268, 4), anchors, truths)
    assert loss.examples == 4 * loss.positives > 0
