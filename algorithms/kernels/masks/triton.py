"""Masks on a GPU.

`_cells`   a program takes one cell of an image: all its pixels lie between the same four places, whose logits
           it holds in registers. It walks over them PIXELS at a time, and writes the sum of their losses and
           what they add to the gradient of each of the four; torch adds up the four tables. No atomics: the
           same batch gives the same bits.
`_mask`    a program takes PIXELS of a row, all their classes at once, and writes classes or probabilities.
`_count`   a program takes a run of pixels and adds up their pairs of label and class: in a histogram of its
           own where that is small, else directly. Whole numbers, so that the order changes nothing.
"""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.masks.terms import LOW, Tensor

TILE = 4096  # scores that a program holds at most
BINS = 2048  # of a histogram of its own
RUN = 1024  # pixels of a program that counts


def loss(logits: Tensor, labels: Tensor, ignore: int, gradient: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """The sum (float64) of the cross entropies, the number of pixels (int64), and the gradient of the sum, of
    the layout of the logits, float32. See `masks.loss`."""
    batch, k, h, w = logits.shape
    down, across = max(h - 1, 1), max(w - 1, 1)
    sums = torch.empty((batch, down, across), dtype=torch.float32, device=logits.device)
    numbers = torch.empty_like(sums, dtype=torch.int32)
    corners = torch.empty((4, batch, down, across, k) if gradient else (1,), device=logits.device)
    classes, pixels = _tile(k, 64)
    if batch:
        _cells[(batch * down * across,)](
            logits, *logits.stride(), labels.contiguous(), ignore, LOW, k, h, w, *labels.shape[1:], down,
            across, batch * down * across * k, sums, numbers, corners,
            GRADIENT=gradient, CLASSES=classes, PIXELS=pixels,
        )  # fmt: skip
    total, number = sums.sum(dtype=torch.float64), numbers.sum(dtype=torch.int64)
    if not gradient:
        return total, number, None
    corners = corners.permute(0, 1, 4, 2, 3)
    slopes = torch.zeros_like(logits, dtype=torch.float32)
    slopes[:, :, :down, :across] += corners[0]
    if w > 1:
        slopes[:, :, :down, 1:] += corners[1]
    if h > 1:
        slopes[:, :, 1:, :across] += corners[2]
    if h > 1 and w > 1:
        slopes[:, :, 1:, 1:] += corners[3]
    return total, number, slopes


def classes(logits: Tensor, height: int, width: int) -> Tensor:
    """See `masks.classes`."""
    out = torch.empty((len(logits), height, width), dtype=torch.uint8, device=logits.device)
    _paint(logits, out, False)
    return out


def probabilities(logits: Tensor, height: int, width: int) -> Tensor:
    """See `masks.probabilities`."""
    out = torch.empty((*logits.shape[:2], height, width), dtype=torch.float32, device=logits.device)
    _paint(logits, out, True)
    return out


def confusion(predicted: Tensor, labels: Tensor, k: int, ignore: int) -> Tensor:
    """See `masks.confusion`; both (pixels,), of one dtype."""
    counts = torch.zeros((k, k), dtype=torch.int64, device=labels.device)
    bins = triton.next_power_of_2(k * k + 1)
    if n := labels.numel():
        _count[(triton.cdiv(n, RUN),)](
            predicted.contiguous(), labels.contiguous(), n, k, ignore, counts,
            BINS=bins if bins <= BINS else 0, RUN=RUN,
        )  # fmt: skip
    return counts


def _tile(k: int, most: int) -> tuple[int, int]:
    """Classes and pixels of a tile of scores; at most `most` pixels."""
    classes = max(2, triton.next_power_of_2(k))
    return classes, max(16, min(most, TILE // classes))


def _paint(logits: Tensor, out: Tensor, chances: bool) -> None:
    batch, k, h, w = logits.shape
    height, width = out.shape[-2:]
    classes, pixels = _tile(k, 256)
    if batch:
        _mask[(triton.cdiv(width, pixels), height, batch)](
            logits, *logits.stride(), LOW, k, h, w, height, width, out,
            CHANCES=chances, CLASSES=classes, PIXELS=pixels,
        )  # fmt: skip


@triton.jit
def _place(z, image, row, column, by_image, by_class, by_row, by_column, k, LOW, CLASSES: tl.constexpr):
    """The logits (CLASSES,) of a place."""
    c = tl.arange(0, CLASSES)
    at = z + image * by_image + row * by_row + column * by_column
    return tl.load(at + c.to(tl.int64) * by_class, mask=c < k, other=LOW).to(tl.float32)


@triton.jit
def _mixed(one, two, part):
    return tl.fma(part, two - one, one)


@triton.jit
def _cells(
    z, by_image, by_class, by_row, by_column, labels, ignore, low, k, h, w, height, width, down, across,
    table, sums, numbers, corners,
    GRADIENT: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    unit = tl.program_id(0).to(tl.int64)
    image, i, j = unit // (down * across), unit // across % down, unit % across
    below, right = tl.minimum(i + 1, h - 1), tl.minimum(j + 1, w - 1)
    c = tl.arange(0, CLASSES)
    z00 = _place(z, image, i, j, by_image, by_class, by_row, by_column, k, low, CLASSES)
    z01 = _place(z, image, i, right, by_image, by_class, by_row, by_column, k, low, CLASSES)
    z10 = _place(z, image, below, j, by_image, by_class, by_row, by_column, k, low, CLASSES)
    z11 = _place(z, image, below, right, by_image, by_class, by_row, by_column, k, low, CLASSES)
    # The pixels of the cell: from its first place on, up to the next; those of the last cell end with it.
    steps, rows = tl.maximum(h - 1, 1), height - 1
    top = (i * rows + steps - 1) // steps
    bottom = tl.where(i == down - 1, height, ((i + 1) * rows + steps - 1) // steps)
    leaps, columns = tl.maximum(w - 1, 1), width - 1
    first = (j * columns + leaps - 1) // leaps
    last = tl.where(j == across - 1, width, ((j + 1) * columns + leaps - 1) // leaps)
    wide = tl.maximum(last - first, 1)
    many = (bottom - top) * (last - first)
    total = tl.zeros((PIXELS,), tl.float32)
    number = tl.zeros((PIXELS,), tl.int32)
    g00 = tl.zeros((CLASSES,), tl.float32)
    g01 = tl.zeros((CLASSES,), tl.float32)
    g10 = tl.zeros((CLASSES,), tl.float32)
    g11 = tl.zeros((CLASSES,), tl.float32)
    for begin in range(0, many, PIXELS):
        pixel = begin + tl.arange(0, PIXELS)
        y, x = top + pixel // wide, first + pixel % wide
        b = (y * (h - 1) - i * rows).to(tl.float32) / tl.maximum(rows, 1).to(tl.float32)
        a = (x * (w - 1) - j * columns).to(tl.float32) / tl.maximum(columns, 1).to(tl.float32)
        label = tl.load(labels + (image * height + y) * width + x, mask=pixel < many, other=ignore)
        label = tl.where(pixel < many, label.to(tl.int64), ignore)
        counted = label != ignore
        left = _mixed(z00[:, None], z10[:, None], b[None, :])
        score = _mixed(left, _mixed(z01[:, None], z11[:, None], b[None, :]), a[None, :])  # (CLASSES, PIXELS)
        most = tl.max(score, axis=0)
        power = tl.exp(score - most[None, :])
        whole = tl.sum(power, axis=0)
        own = (c[:, None] == label[None, :]) & (c < k)[:, None]
        value = tl.log(whole) + most - tl.sum(tl.where(own, score, 0.0), axis=0)
        value = tl.where((label >= 0) & (label < k), value, float("nan"))
        total += tl.where(counted, value, 0.0)
        number += counted.to(tl.int32)
        if GRADIENT:
            slope = tl.where(counted[None, :], power / whole[None, :] - own.to(tl.float32), 0.0)
            g00 += tl.sum(slope * ((1 - a) * (1 - b))[None, :], axis=1)
            g01 += tl.sum(slope * (a * (1 - b))[None, :], axis=1)
            g10 += tl.sum(slope * ((1 - a) * b)[None, :], axis=1)
            g11 += tl.sum(slope * (a * b)[None, :], axis=1)
    tl.store(sums + unit, tl.sum(total))
    tl.store(numbers + unit, tl.sum(number))
    if GRADIENT:
        at = corners + unit * k + c
        tl.store(at, g00, mask=c < k)
        tl.store(at + table, g01, mask=c < k)
        tl.store(at + 2 * table, g10, mask=c < k)
        tl.store(at + 3 * table, g11, mask=c < k)


@triton.jit
def _mask(
    z, by_image, by_class, by_row, by_column, low, k, h, w, height, width, out,
    CHANCES: tl.constexpr, CLASSES: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    x = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y, image = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    here = x < width
    rows, columns = tl.maximum(height - 1, 1), tl.maximum(width - 1, 1)
    i = tl.minimum(y * (h - 1) // rows, tl.maximum(h - 2, 0))
    b = (y * (h - 1) - i * rows).to(tl.float32) / rows.to(tl.float32)
    across = tl.where(here, x, 0).to(tl.int64) * (w - 1)
    j = tl.minimum(across // columns, tl.maximum(w - 2, 0))
    a = (across - j * columns).to(tl.float32) / columns.to(tl.float32)
    c = tl.arange(0, CLASSES)
    there = (c < k)[:, None] & here[None, :]
    upper = z + image * by_image + c.to(tl.int64)[:, None] * by_class + i * by_row
    lower = z + image * by_image + c.to(tl.int64)[:, None] * by_class + tl.minimum(i + 1, h - 1) * by_row
    left, right = j[None, :] * by_column, tl.minimum(j + 1, w - 1)[None, :] * by_column
    z00 = tl.load(upper + left, mask=there, other=low).to(tl.float32)
    z01 = tl.load(upper + right, mask=there, other=low).to(tl.float32)
    z10 = tl.load(lower + left, mask=there, other=low).to(tl.float32)
    z11 = tl.load(lower + right, mask=there, other=low).to(tl.float32)
    score = _mixed(_mixed(z00, z10, b), _mixed(z01, z11, b), a[None, :])  # (CLASSES, PIXELS)
    most = tl.max(score, axis=0)
    first = tl.min(tl.where(score == most[None, :], c[:, None], CLASSES), axis=0)
    first = tl.where(first < CLASSES, first, 0)  # of scores that are no numbers
    if CHANCES:
        power = tl.exp(score - most[None, :])
        chance = 1 / tl.sum(power, axis=0)
        values = tl.where(c[:, None] == first[None, :], 1.0, power) * chance[None, :]
        below = tl.minimum(values, (chance * 0.99999994039535522)[None, :])  # the number below: 1 - 2^-24
        values = tl.where(c[:, None] < first[None, :], below, tl.minimum(values, chance[None, :]))
        at = ((image * k + c[:, None]) * height + y) * width + x[None, :]
        tl.store(out + at, values, mask=there)
    else:
        tl.store(out + (image * height + y) * width + x, first.to(tl.uint8), mask=here)


@triton.jit
def _count(predicted, labels, n, k, ignore, counts, BINS: tl.constexpr, RUN: tl.constexpr):
    pixel = tl.program_id(0).to(tl.int64) * RUN + tl.arange(0, RUN)
    row = tl.load(labels + pixel, mask=pixel < n, other=0).to(tl.int64)
    column = tl.load(predicted + pixel, mask=pixel < n, other=0).to(tl.int64)
    here = (pixel < n) & (row != ignore) & (column != ignore)
    here = here & (row >= 0) & (row < k) & (column >= 0) & (column < k)
    pair = tl.where(here, row * k + column, k * k)
    if BINS:
        number = tl.histogram(pair.to(tl.int32), BINS)
        at = tl.arange(0, BINS)
        tl.atomic_add(counts + at, number.to(tl.int64), mask=(at < k * k) & (number > 0))
    else:
        tl.atomic_add(counts + pair, tl.full((RUN,), 1, tl.int64), mask=here)
