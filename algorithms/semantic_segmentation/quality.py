"""How good masks are, of the counts of (label, class) over all pixels of a channel.

pixel accuracy = right / all       IOU of a class = right / (labelled so + predicted so - right)
mIOU           = the mean IOU of all classes, 0 for those that neither labels nor predictions have
mIOU_present   = that of the classes that labels have
"""

from __future__ import annotations

import numpy as np


def quality(counts: np.ndarray) -> dict[str, float]:
    """By name, of (K, K) whole numbers: labels r, classes c. Without a labelled pixel all are 0."""
    right = np.diag(counts).astype(np.float64)
    labelled, predicted = counts.sum(axis=1), counts.sum(axis=0)
    iou = right / np.maximum(labelled + predicted - right, 1)
    present = labelled > 0
    return {
        "pixel_accuracy": float(right.sum() / max(labelled.sum(), 1)),
        "mIOU": float(iou.mean()),
        "mIOU_present": float(iou[present].mean()) if present.any() else 0.0,
    }
