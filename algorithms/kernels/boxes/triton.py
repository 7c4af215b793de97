"""Boxes on a GPU; nothing is read back by the host.

`_nearest`   a program takes a truth of an image and walks over its anchors for the one with the largest IoU.
`_pair`      a program takes an image and gives anchors to its truths, the best pair first. A truth that loses
             its best anchor to another walks over the free ones again.
`_label`     a program takes a block of anchors of an image, walks over its truths with the best of each
             anchor in registers, and writes labels and offsets.
`_best`      a program takes a block of anchors and walks over the classes; torch sorts what it finds.
`_decode`    a program takes a block of an image's best anchors and makes their boxes.
`_suppress`  a program takes an image and walks over its boxes, best first: each that is still there sweeps
             over those behind it.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.boxes.terms import LEAST, NEITHER, Tensor, Variances

BLOCK = 512  # anchors, or boxes, of a program at a time


def assign(anchors: Tensor, truths: Tensor, variances: Variances, threshold: float) -> tuple[Tensor, Tensor]:
    """See `boxes.assign`."""
    (n, most, _), places, device = truths.shape, len(anchors), truths.device
    labels = torch.full((n, places), NEITHER, dtype=torch.int64, device=device)
    offsets = torch.zeros((n, places, 4), device=device)
    if not n or not places or not most:
        return labels, offsets
    pairs = torch.full((n, places), NEITHER, dtype=torch.int32, device=device)
    high = torch.empty((n, most), dtype=torch.float64, device=device)
    at = torch.empty((n, most), dtype=torch.int32, device=device)
    _nearest[(n, most)](anchors, truths, pairs, high, at, places, most, BLOCK=BLOCK)
    _pair[(n,)](
        anchors, truths, pairs, high, at, LEAST, places, most,
        BLOCK=BLOCK, TRUTHS=max(2, triton.next_power_of_2(most)),
    )  # fmt: skip
    numbers = torch.tensor([*variances, threshold], dtype=torch.float64, device=device)
    _label[(n, triton.cdiv(places, BLOCK))](
        anchors, truths, pairs, numbers, labels, offsets, places, most, BLOCK=BLOCK
    )
    return labels, offsets


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
    (n, places, columns), device = probabilities.shape, offsets.device
    rows = torch.full((n, m, 6), NEITHER, dtype=torch.float32, device=device)
    if not n or not m:
        return rows
    scores = torch.empty((n, places), device=device)
    classes = torch.empty((n, places), dtype=torch.int32, device=device)
    blocks = triton.cdiv(n * places, BLOCK)
    _best[(blocks,)](probabilities, threshold, scores, classes, n * places, columns, BLOCK=BLOCK)
    scores, order = torch.sort(scores, dim=1, descending=True, stable=True)
    boxes = torch.empty((n, 4, m), dtype=torch.float64, device=device)
    numbers = torch.tensor([*variances, nms_threshold], dtype=torch.float64, device=device)
    _decode[(n, triton.cdiv(m, BLOCK))](
        anchors, offsets, numbers, scores, order, classes, boxes, rows, places, m, BLOCK=BLOCK
    )
    if 0 < nms_threshold <= 1:
        _suppress[(n,)](boxes, rows, numbers, m, FORCE=force, BLOCK=BLOCK)
    gone = rows[:, :, 0] < 0
    rows = rows.masked_fill_(gone[:, :, None], NEITHER)
    stay = gone.to(torch.uint8).argsort(dim=1, stable=True)
    return rows.gather(1, stay[:, :, None].expand_as(rows))


@triton.jit
def _sides(boxes, row, mask):
    """Of boxes (n, 4) float32: xmin, ymin, xmax, ymax, float64."""
    x0 = tl.load(boxes + row * 4, mask=mask, other=0.0).to(tl.float64)
    y0 = tl.load(boxes + row * 4 + 1, mask=mask, other=0.0).to(tl.float64)
    x1 = tl.load(boxes + row * 4 + 2, mask=mask, other=0.0).to(tl.float64)
    y1 = tl.load(boxes + row * 4 + 3, mask=mask, other=0.0).to(tl.float64)
    return x0, y0, x1, y1


@triton.jit
def _truth(truths, row):
    """Class, and corners as float64, of a row of (T, 5) float32."""
    return (
        tl.load(truths + row * 5),
        tl.load(truths + row * 5 + 1).to(tl.float64),
        tl.load(truths + row * 5 + 2).to(tl.float64),
        tl.load(truths + row * 5 + 3).to(tl.float64),
        tl.load(truths + row * 5 + 4).to(tl.float64),
    )


@triton.jit
def _overlap(ax0, ay0, ax1, ay1, bx0, by0, bx1, by1):
    """IoU."""
    wide = tl.maximum(tl.minimum(ax1, bx1) - tl.maximum(ax0, bx0), 0.0)
    high = tl.maximum(tl.minimum(ay1, by1) - tl.maximum(ay0, by0), 0.0)
    both = wide * high
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - both
    return tl.where(union > 0, both / tl.where(union > 0, union, 1.0), 0.0)


@triton.jit
def _scan(anchors, pairs, places, x0, y0, x1, y1, BLOCK: tl.constexpr):
    """The largest IoU with a box of the anchors that belong to no truth, and the lowest of those; -1 and 0
    where there is none."""
    best, at = (x0 * 0 - 1).to(tl.float64), (x0 * 0).to(tl.int32)
    for begin in range(0, places, BLOCK):
        a = begin + tl.arange(0, BLOCK)
        here = a < places
        ax0, ay0, ax1, ay1 = _sides(anchors, a, here)
        free = here & (tl.load(pairs + a, mask=here, other=0) < 0)
        iou = tl.where(free, _overlap(ax0, ay0, ax1, ay1, x0, y0, x1, y1), -1.0)
        top = tl.max(iou, axis=0)
        first = tl.min(tl.where(iou == top, a, places), axis=0)
        at = tl.where(top > best, first, at)
        best = tl.where(top > best, top, best)
    return best, at


@triton.jit
def _nearest(anchors, truths, pairs, high, at, places, most, BLOCK: tl.constexpr):
    image = tl.program_id(0).to(tl.int64)
    row = image * most + tl.program_id(1)
    number, x0, y0, x1, y1 = _truth(truths, row)
    best, place = _scan(anchors, pairs + image * places, places, x0, y0, x1, y1, BLOCK)
    tl.store(high + row, tl.where(number >= 0, best, -1.0))
    tl.store(at + row, place)


@triton.jit
def _pair(anchors, truths, pairs, high, at, least, places, most, BLOCK: tl.constexpr, TRUTHS: tl.constexpr):
    image = tl.program_id(0).to(tl.int64)
    t = tl.arange(0, TRUTHS)
    best = tl.load(high + image * most + t, mask=t < most, other=-1.0)
    place = tl.load(at + image * most + t, mask=t < most, other=0)
    own = pairs + image * places
    top = tl.max(best, axis=0)
    while top > least:
        anchor = tl.min(tl.where(best == top, place, places), axis=0)
        truth = tl.min(tl.where((best == top) & (place == anchor), t, TRUTHS), axis=0)
        tl.store(own + anchor, truth)
        tl.debug_barrier()  # all of the program's threads see it
        best = tl.where(t == truth, -1.0, best)
        robbed = (place == anchor) & (best > least)
        while tl.max(robbed.to(tl.int32), axis=0) > 0:
            again = tl.min(tl.where(robbed, t, TRUTHS), axis=0)
            _, x0, y0, x1, y1 = _truth(truths, image * most + again)
            value, found = _scan(anchors, own, places, x0, y0, x1, y1, BLOCK)
            best = tl.where(t == again, value, best)
            place = tl.where(t == again, found, place)
            robbed = robbed & (t != again)
        top = tl.max(best, axis=0)


@triton.jit
def _label(anchors, truths, pairs, numbers, labels, offsets, places, most, BLOCK: tl.constexpr):
    """numbers: the four variances and the threshold, float64, which an argument could not be."""
    threshold = tl.load(numbers + 4)
    image = tl.program_id(0).to(tl.int64)
    a = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = a < places
    ax0, ay0, ax1, ay1 = _sides(anchors, a, here)
    best = tl.full((BLOCK,), -1.0, tl.float64)
    match = tl.full((BLOCK,), 0, tl.int32)
    for t in range(most):
        number, x0, y0, x1, y1 = _truth(truths, image * most + t)
        iou = tl.where(number >= 0, _overlap(ax0, ay0, ax1, ay1, x0, y0, x1, y1), -1.0)
        match = tl.where(iou > best, t, match)
        best = tl.maximum(iou, best)
    pair = tl.load(pairs + image * places + a, mask=here, other=-1)
    match = tl.where(pair >= 0, pair, match)
    positive = here & ((pair >= 0) | (best > threshold))
    row = truths + (image * most + match) * 5
    number = tl.load(row, mask=positive, other=0.0).to(tl.int64)
    x0 = tl.load(row + 1, mask=positive, other=0.0).to(tl.float64)
    y0 = tl.load(row + 2, mask=positive, other=0.0).to(tl.float64)
    x1 = tl.load(row + 3, mask=positive, other=1.0).to(tl.float64)
    y1 = tl.load(row + 4, mask=positive, other=1.0).to(tl.float64)
    label = tl.where((best >= 0) & (best < threshold), 0, -1).to(tl.int64)
    tl.store(labels + image * places + a, tl.where(positive, number + 1, label), mask=here)
    wide, high = tl.where(positive, ax1 - ax0, 1.0), tl.where(positive, ay1 - ay0, 1.0)
    target = offsets + (image * places + a) * 4
    x = ((x0 + x1) - (ax0 + ax1)) / 2 / wide / tl.load(numbers)
    y = ((y0 + y1) - (ay0 + ay1)) / 2 / high / tl.load(numbers + 1)
    w = tl.log((x1 - x0) / wide) / tl.load(numbers + 2)
    h = tl.log((y1 - y0) / high) / tl.load(numbers + 3)
    tl.store(target, x.to(tl.float32), mask=positive)
    tl.store(target + 1, y.to(tl.float32), mask=positive)
    tl.store(target + 2, w.to(tl.float32), mask=positive)
    tl.store(target + 3, h.to(tl.float32), mask=positive)


@triton.jit
def _best(probabilities, threshold, scores, classes, total, columns, BLOCK: tl.constexpr):
    """The most probable class but background and its probability, -1 where that is below the threshold."""
    a = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = a < total
    best = tl.full((BLOCK,), -1.0, tl.float32)
    number = tl.full((BLOCK,), 0, tl.int32)
    for c in range(1, columns):
        chance = tl.load(probabilities + a * columns + c, mask=here, other=0.0)
        number = tl.where(chance > best, c - 1, number)
        best = tl.where(chance > best, chance, best)
    tl.store(scores + a, tl.where(best >= threshold, best, -1.0), mask=here)
    tl.store(classes + a, number, mask=here)


@triton.jit
def _clip(x):
    return tl.minimum(tl.maximum(x, 0.0), 1.0)


@triton.jit
def _decode(anchors, offsets, numbers, scores, order, classes, boxes, rows, places, m, BLOCK: tl.constexpr):
    """Boxes (n, 4, m) float64 and rows (n, m, 6) of the first m of `order`; rows of no score stay as they
    are."""
    image = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    score = tl.load(scores + image * places + place, mask=place < m, other=-1.0)
    here = score >= 0
    a = tl.load(order + image * places + place, mask=here, other=0)
    ax0, ay0, ax1, ay1 = _sides(anchors, a, here)
    x, y, w, h = _sides(offsets, image * places + a, here)
    wide, high = ax1 - ax0, ay1 - ay0
    x = (ax0 + ax1) / 2 + x * tl.load(numbers) * wide
    y = (ay0 + ay1) / 2 + y * tl.load(numbers + 1) * high
    w = tl.exp(w * tl.load(numbers + 2)) * wide / 2
    h = tl.exp(h * tl.load(numbers + 3)) * high / 2
    x0, y0, x1, y1 = _clip(x - w), _clip(y - h), _clip(x + w), _clip(y + h)
    box = boxes + image * 4 * m + place
    tl.store(box, x0, mask=here)
    tl.store(box + m, y0, mask=here)
    tl.store(box + 2 * m, x1, mask=here)
    tl.store(box + 3 * m, y1, mask=here)
    row = rows + (image * m + place) * 6
    number = tl.load(classes + image * places + a, mask=here, other=0)
    tl.store(row, number.to(tl.float32), mask=here)
    tl.store(row + 1, score, mask=here)
    tl.store(row + 2, x0.to(tl.float32), mask=here)
    tl.store(row + 3, y0.to(tl.float32), mask=here)
    tl.store(row + 4, x1.to(tl.float32), mask=here)
    tl.store(row + 5, y1.to(tl.float32), mask=here)


@triton.jit
def _suppress(boxes, rows, numbers, m, FORCE: tl.constexpr, BLOCK: tl.constexpr):
    """The class of a row that goes becomes -1."""
    threshold = tl.load(numbers + 4)
    image = tl.program_id(0).to(tl.int64)
    box, row = boxes + image * 4 * m, rows + image * m * 6
    for i in range(m):
        number = tl.load(row + i * 6)
        if number >= 0:
            x0, y0 = tl.load(box + i), tl.load(box + m + i)
            x1, y1 = tl.load(box + 2 * m + i), tl.load(box + 3 * m + i)
            for begin in range(i + 1, m, BLOCK):
                j = begin + tl.arange(0, BLOCK)
                other = tl.load(row + j * 6, mask=j < m, other=-1.0)
                rival = (other >= 0) if FORCE else (other == number)
                bx0 = tl.load(box + j, mask=rival, other=0.0)
                by0 = tl.load(box + m + j, mask=rival, other=0.0)
                bx1 = tl.load(box + 2 * m + j, mask=rival, other=0.0)
                by1 = tl.load(box + 3 * m + j, mask=rival, other=0.0)
                close = _overlap(x0, y0, x1, y1, bx0, by0, bx1, by1) >= threshold
                tl.store(row + j * 6, tl.full((BLOCK,), -1.0, tl.float32), mask=rival & close)
            tl.debug_barrier()  # the next row is read by threads that did not write it
