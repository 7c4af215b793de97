from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.semantic_segmentation.quality import quality


def reference(predicted: np.ndarray, labels: np.ndarray, k: int) -> dict[str, float]:
    """By sets of pixels, class by class."""
    seen = labels != 255
    predicted, labels = predicted[seen], labels[seen]
    ious = []
    for c in range(k):
        union = ((predicted == c) | (labels == c)).sum()
        ious.append(((predicted == c) & (labels == c)).sum() / union if union else 0.0)
    present = [iou for c, iou in enumerate(ious) if (labels == c).any()]
    return {
        "pixel_accuracy": float((predicted == labels).mean()),
        "mIOU": float(np.mean(ious)),
        "mIOU_present": float(np.mean(present)),
    }


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_sets_of_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 4, (2, 900))
    labels[rng.random(900) < 0.2] = 255
    counts = np.zeros((6, 6), np.int64)  # two classes never occur
    for label, one in zip(labels.tolist(), predicted.tolist(), strict=True):
        if label != 255:
            counts[label, one] += 1
    assert quality(counts) == pytest.approx(reference(predicted, labels, 6), rel=1e-12)


def test_absent_classes_count_as_zero_in_aws_s_value_alone() -> None:
    counts = np.diag([10, 0, 30, 0])
    assert quality(counts) == {"pixel_accuracy": 1.0, "mIOU": 0.5, "mIOU_present": 1.0}
    assert quality(np.zeros((2, 2), np.int64)) == {"pixel_accuracy": 0, "mIOU": 0, "mIOU_present": 0}
