"""Losses and accuracies, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.image_classification.losses import (  # noqa: E402
    OneLabel,
    SeveralLabels,
    positive_weights,
    top,
)

SCORES = torch.tensor([[2.0, 1.0, -1.0], [0.0, -3.0, 4.0]])


def test_one_label_is_cross_entropy_of_softmax() -> None:
    labels = torch.tensor([1, 2])
    expected = -sum(float(SCORES[i].softmax(0)[labels[i]].log()) for i in range(2))
    assert float(OneLabel().loss(SCORES, labels)) == pytest.approx(expected)
    assert int(OneLabel().hits(SCORES, labels)) == 1
    assert int(top(SCORES, labels, 2)) == 2


def test_several_labels_are_right_cell_by_cell() -> None:
    labels = torch.tensor([[1.0, 0, 0], [1, 0, 1]])
    criterion = SeveralLabels()
    p = SCORES.sigmoid()
    expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).sum() / 3
    assert float(criterion.loss(SCORES, labels)) == pytest.approx(float(expected), rel=1e-5)
    # p >= 1/2:            [1 1 0], [1 0 1]
    assert float(criterion.hits(SCORES, labels)) == pytest.approx(5 / 3)
    weights = torch.tensor([2.0, 1.0, 5.0])
    weighted = -(weights * labels * p.log() + (1 - labels) * (1 - p).log()).sum() / 3
    assert float(SeveralLabels(weights).loss(SCORES, labels)) == pytest.approx(float(weighted), rel=1e-5)
    assert int(top(SCORES, labels, 1)) == 2


def test_rare_labels_weigh_more() -> None:
    weights = positive_weights(np.array([1, 50, 99, 0, 100]), 100)
    np.testing.assert_allclose(weights, [99, 1, 0.1, 1, 0.1])
    assert positive_weights(np.array([1]), 1000) == [100]
