# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# The signatures stand in the decorators, for numba.
"""Boxes on a CPU: an image is a unit of work. No operation is reordered or joined with another, so that the
numbers that choices are made by are NumPy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import float32, float64, int64, njit, types, uint8, void

from optml.algorithms.kernels.boxes.terms import LEAST, NEITHER, Tensor, Variances
from optml.algorithms.kernels.machine.threads import in_parts

_options: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}
_reals = types.Array(float64, 1, "C")
_table = types.Array(float32, 2, "C", readonly=True)
_doubles = types.Array(float64, 2, "C")
_longs = types.Array(int64, 1, "C")


def assign(anchors: Tensor, truths: Tensor, variances: Variances, threshold: float) -> tuple[Tensor, Tensor]:
    """See `boxes.assign`."""
    n, places = len(truths), len(anchors)
    labels = np.full((n, places), NEITHER, np.int64)
    offsets = np.zeros((n, places, 4), np.float32)
    corners = np.ascontiguousarray(anchors.numpy().T.astype(np.float64))
    rows, spread = truths.numpy(), np.array(variances)

    def part(start: int, stop: int) -> None:
        for image in range(start, stop):
            own = rows[image][rows[image, :, 0] >= 0]
            if len(own):
                _assign(corners, own, spread, threshold, labels[image], offsets[image])

    in_parts(part, n, 8 * places * truths.shape[1], blas=False)
    return torch.from_numpy(labels), torch.from_numpy(offsets)


def detect(
    probabilities: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    variances: Variances,
    threshold: float,
    nms_threshold: float,
    m: int,
    force: bool,
) -> Tensor:
    """See `boxes.detect`; m: the most rows of an image."""
    chances, moves, corners = probabilities.numpy(), offsets.numpy(), anchors.numpy()
    n, places, _ = chances.shape
    spread = np.array(variances)
    out = np.full((n, m, 6), NEITHER, np.float32)
    least = np.float32(threshold)
    suppress = 0 < nms_threshold <= 1

    def part(start: int, stop: int) -> None:
        classes, scores = np.empty(places, np.int64), np.empty(places, np.float32)
        for image in range(start, stop):
            _best(chances[image], classes, scores)
            keep = np.flatnonzero(scores >= least)
            if len(keep) > m:  # fewer to sort: those no worse than number m
                keep = keep[scores[keep] >= -np.partition(-scores[keep], m - 1)[m - 1]]
            keep = keep[np.argsort(-scores[keep], kind="stable")[:m]]
            own = classes[keep]
            boxes = np.empty((4, len(keep)))
            _decode(corners, moves[image], spread, keep, boxes)
            alive = np.ones(len(keep), np.uint8)
            if suppress:
                _suppress(boxes, np.zeros_like(own) if force else own, nms_threshold, alive)
            stay = np.flatnonzero(alive)
            rows = out[image, : len(stay)]
            rows[:, 0], rows[:, 1], rows[:, 2:] = own[stay], scores[keep[stay]], boxes[:, stay].T

    in_parts(part, n, 4 * chances.shape[1] * chances.shape[2], blas=False)
    return torch.from_numpy(out)


@njit(float64(_doubles, int64, float64, float64, float64, float64, float64), inline="always", **_options)
def _overlap(boxes, i, x0, y0, x1, y1, area):
    """IoU of box i of (4, n), and of a box with this area."""
    left, right = max(boxes[0, i], x0), min(boxes[2, i], x1)
    top, bottom = max(boxes[1, i], y0), min(boxes[3, i], y1)
    both = max(right - left, 0.0) * max(bottom - top, 0.0)
    union = (boxes[2, i] - boxes[0, i]) * (boxes[3, i] - boxes[1, i]) + area - both
    return both / union if union > 0 else 0.0


@njit(
    void(_doubles, types.Array(float32, 2, "C"), _reals, float64, int64[::1], float32[:, ::1]),
    **_options,
)
def _assign(anchors, truths, variances, threshold, labels, offsets):
    """Of one image; anchors (4, A), truths (T, 5) without padding."""
    places, many = anchors.shape[1], len(truths)
    best, match = np.full(places, -1.0), np.zeros(places, np.int64)
    high, at = np.full(many, -1.0), np.zeros(many, np.int64)  # of each truth: its best anchor that is free
    for t in range(many):
        x0, y0, x1, y1 = (
            float64(truths[t, 1]), float64(truths[t, 2]), float64(truths[t, 3]), float64(truths[t, 4])
        )  # fmt: skip
        area = (x1 - x0) * (y1 - y0)
        for a in range(places):
            iou = _overlap(anchors, a, x0, y0, x1, y1, area)
            if iou > best[a]:
                best[a], match[a] = iou, t
            if iou > high[t]:
                high[t], at[t] = iou, a
    chosen = np.zeros(places, np.uint8)
    for _ in range(many):
        first = 0
        for t in range(1, many):
            if high[t] > high[first] or (high[t] == high[first] and at[t] < at[first]):
                first = t
        if high[first] <= LEAST:
            break
        anchor = at[first]
        chosen[anchor], match[anchor], high[first] = 1, first, -1.0
        for t in range(many):
            if at[t] != anchor or high[t] <= LEAST:
                continue
            x0, y0, x1, y1 = (
                float64(truths[t, 1]), float64(truths[t, 2]), float64(truths[t, 3]), float64(truths[t, 4])
            )  # fmt: skip
            area = (x1 - x0) * (y1 - y0)
            high[t] = -1.0
            for a in range(places):
                if not chosen[a]:
                    iou = _overlap(anchors, a, x0, y0, x1, y1, area)
                    if iou > high[t]:
                        high[t], at[t] = iou, a
    for a in range(places):
        if not chosen[a] and not best[a] > threshold:
            if best[a] < threshold:
                labels[a] = 0
            continue
        t = match[a]
        labels[a] = int64(truths[t, 0]) + 1
        for axis in range(2):
            side = anchors[axis + 2, a] - anchors[axis, a]
            low, end = float64(truths[t, axis + 1]), float64(truths[t, axis + 3])
            moved = ((low + end) - (anchors[axis, a] + anchors[axis + 2, a])) / 2 / side
            offsets[a, axis] = moved / variances[axis]
            offsets[a, axis + 2] = math.log((end - low) / side) / variances[axis + 2]


@njit(void(_table, int64[::1], float32[::1]), **_options)
def _best(chances, classes, scores):
    """The most probable class of each anchor but background, and its probability."""
    for a in range(len(chances)):
        first = 1
        for c in range(2, chances.shape[1]):
            if chances[a, c] > chances[a, first]:
                first = c
        classes[a], scores[a] = first - 1, chances[a, first]


@njit(void(_table, _table, _reals, _longs, float64[:, ::1]), **_options)
def _decode(anchors, offsets, variances, places, boxes):
    """Boxes (4, k) of the anchors at `places`."""
    for row in range(len(places)):
        a = places[row]
        for axis in range(2):
            low, end = float64(anchors[a, axis]), float64(anchors[a, axis + 2])
            side = end - low
            centre = (low + end) / 2 + float64(offsets[a, axis]) * variances[axis] * side
            half = math.exp(float64(offsets[a, axis + 2]) * variances[axis + 2]) * side / 2
            boxes[axis, row] = min(max(centre - half, 0.0), 1.0)
            boxes[axis + 2, row] = min(max(centre + half, 0.0), 1.0)


@njit(void(_doubles, _longs, float64, uint8[::1]), **_options)
def _suppress(boxes, classes, threshold, alive):
    """Of boxes (4, k) by score. Those of a class are brought side by side first."""
    k = len(classes)
    order = np.argsort(classes, kind="mergesort")
    near, last = np.empty((4, k)), np.ones(k, np.uint8)
    for i in range(k):
        for side in range(4):
            near[side, i] = boxes[side, order[i]]
    start = 0
    while start < k:
        stop = start + 1
        while stop < k and classes[order[stop]] == classes[order[start]]:
            stop += 1
        for i in range(start, stop):
            if last[i]:
                x0, y0, x1, y1 = near[0, i], near[1, i], near[2, i], near[3, i]
                area = (x1 - x0) * (y1 - y0)
                for j in range(i + 1, stop):
                    last[j] &= _overlap(near, j, x0, y0, x1, y1, area) < threshold
        start = stop
    for i in range(k):
        alive[order[i]] = last[i]
