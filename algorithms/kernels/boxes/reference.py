"""The operation by its definition, in NumPy and float64, for tests; and IoU, which also judges detections."""

from __future__ import annotations

import numpy as np

from optml.algorithms.kernels.boxes.terms import LEAST, NEITHER, Variances


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU (n, m) of boxes (n, 4) and (m, 4): xmin, ymin, xmax, ymax; 0 where both are empty."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = (high - low).clip(0).prod(axis=2)
    areas = ((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (boxes, others))
    union = next(areas)[:, None] + next(areas)[None] - both
    result: np.ndarray = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return result


def assign(
    anchors: np.ndarray, truths: np.ndarray, variances: Variances, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """See `boxes.assign`; offsets are float64."""
    labels = np.full((len(truths), len(anchors)), NEITHER, np.int64)
    offsets = np.zeros((len(truths), len(anchors), 4))
    for image, rows in enumerate(truths.astype(np.float64)):
        rows = rows[rows[:, 0] >= 0]
        if not len(rows):
            continue
        iou = overlaps(anchors.astype(np.float64), rows[:, 1:])
        best, match = iou.max(axis=1), iou.argmax(axis=1)
        positive = best > threshold
        free = iou.copy()
        for _ in range(min(len(rows), len(anchors))):
            anchor, truth = np.unravel_index(free.argmax(), free.shape)
            if free[anchor, truth] <= LEAST:
                break
            positive[anchor], match[anchor] = True, truth
            free[anchor], free[:, truth] = -1, -1
        labels[image, best < threshold] = 0
        taken = rows[match[positive]]
        labels[image, positive] = taken[:, 0].astype(np.int64) + 1
        offsets[image, positive] = _offsets(anchors[positive].astype(np.float64), taken[:, 1:], variances)
    return labels, offsets


def _offsets(anchors: np.ndarray, boxes: np.ndarray, variances: Variances) -> np.ndarray:
    sides, own = anchors[:, 2:] - anchors[:, :2], boxes[:, 2:] - boxes[:, :2]
    moved = ((boxes[:, :2] + boxes[:, 2:]) - (anchors[:, :2] + anchors[:, 2:])) / 2 / sides
    result: np.ndarray = np.concatenate([moved, np.log(own / sides)], axis=1) / np.array(variances)
    return result


def mine(labels: np.ndarray, background: np.ndarray, ratio: float = 3.0) -> np.ndarray:
    """See `boxes.mine`."""
    labels = labels.copy()
    for image, row in enumerate(labels):
        candidates = np.flatnonzero(row == 0)
        wanted = int(ratio * (row > 0).sum())
        order = np.argsort(background[image, candidates], kind="stable")
        row[candidates[order[wanted:]]] = NEITHER
    return labels


def detect(
    probabilities: np.ndarray,
    offsets: np.ndarray,
    anchors: np.ndarray,
    variances: Variances,
    *,
    threshold: float = 0.01,
    nms_threshold: float = 0.45,
    topk: int = 400,
    force: bool = False,
) -> list[np.ndarray]:
    """See `boxes.detect`; of each image (k, 6) float64, without padding."""
    answers = []
    for image in range(len(probabilities)):
        classes = probabilities[image, :, 1:]
        best = classes.argmax(axis=1)
        scores = classes[np.arange(len(best)), best]
        keep = np.flatnonzero(scores >= np.float32(threshold))
        keep = keep[np.argsort(-scores[keep], kind="stable")]
        if topk > 0:
            keep = keep[:topk]
        boxes = _decoded(anchors[keep], offsets[image, keep], variances)
        rows = np.concatenate([best[keep, None], scores[keep, None], boxes], axis=1)
        answers.append(rows[_alive(rows, nms_threshold, force)])
    return answers


def _decoded(anchors: np.ndarray, offsets: np.ndarray, variances: Variances) -> np.ndarray:
    anchors, moved = anchors.astype(np.float64), offsets.astype(np.float64) * np.array(variances)
    sides = anchors[:, 2:] - anchors[:, :2]
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2 + moved[:, :2] * sides
    halves = np.exp(moved[:, 2:]) * sides / 2
    result: np.ndarray = np.concatenate([centres - halves, centres + halves], axis=1).clip(0, 1)
    return result


def _alive(rows: np.ndarray, nms_threshold: float, force: bool) -> np.ndarray:
    """(k,) bool: the rows that stay, of rows by score."""
    alive = np.ones(len(rows), bool)
    if not 0 < nms_threshold <= 1:
        return alive
    close = overlaps(rows[:, 2:], rows[:, 2:]) >= nms_threshold
    if not force:
        close &= rows[:, None, 0] == rows[None, :, 0]
    for place in range(len(rows)):
        if alive[place]:
            alive[place + 1 :] &= ~close[place, place + 1 :]
    return alive
