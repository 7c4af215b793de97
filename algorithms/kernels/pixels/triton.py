"""The pass from uint8 pixels to a batch on a GPU: a program makes PIXELS of one image, every channel of them,
and reads each source byte from where its neighbours left it in cache."""

# Triton's decorator has no types, and its constants are written in capitals.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: N803

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from optml.algorithms.kernels.pixels.terms import Finish, Packed

Tensor = Any  # a torch tensor; torch's own name would bring torch's types into mypy
PIXELS = 256


def render(
    images: Packed, maps: Tensor, colours: Tensor | None, finish: Finish, shape: tuple[int, int], half: bool
) -> Tensor:
    """See `pixels.render`; everything but `finish` is on one device."""
    device, dtype = images.pixels.device, torch.bfloat16 if half else torch.float32
    out = torch.empty((len(images), *shape, images.channels), dtype=dtype, device=device)
    if not out.numel():
        return out
    mean, scale = (torch.from_numpy(numbers).to(device) for numbers in (finish.mean, finish.scale))
    blocks = triton.cdiv(shape[0] * shape[1], PIXELS)
    _render[(len(images), blocks)](
        images.pixels, images.starts, images.sizes, maps, maps if colours is None else colours, mean, scale,
        out, finish.outside, *shape, COLOUR=colours is not None, CHANNELS=images.channels, BLOCK=PIXELS,
    )  # fmt: skip
    return out


@triton.jit
def _value(upper, lower, left, right, a, b, inside, outside):
    """Between four neighbours of a channel."""
    above = tl.load(upper + left, mask=inside, other=0).to(tl.float32)
    above += a * (tl.load(upper + right, mask=inside, other=0).to(tl.float32) - above)
    below = tl.load(lower + left, mask=inside, other=0).to(tl.float32)
    below += a * (tl.load(lower + right, mask=inside, other=0).to(tl.float32) - below)
    return tl.where(inside, above + b * (below - above), outside)


@triton.jit
def _clip(x, least, most):
    return tl.minimum(tl.maximum(x, least), most)


@triton.jit
def _channel(light, reach, sector, n):
    turn = n + 2 * sector
    turn = tl.where(turn >= 12, turn - 12, turn)
    return 255 * (light - reach * _clip(tl.minimum(turn - 3, 9 - turn), -1.0, 1.0))


@triton.jit
def _render(
    pixels, starts, sizes, maps, colours, mean, scale, out, outside, rows, columns,
    COLOUR: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    here = place < rows * columns
    row, column = (place // columns).to(tl.float32) + 0.5, (place % columns).to(tl.float32) + 0.5
    height, width = tl.load(sizes + 2 * image), tl.load(sizes + 2 * image + 1)
    m = maps + 6 * image
    x = tl.load(m) * column + tl.load(m + 1) * row + tl.load(m + 2)
    y = tl.load(m + 3) * column + tl.load(m + 4) * row + tl.load(m + 5)
    wide, high = width.to(tl.float32), height.to(tl.float32)
    inside = here & (x >= 0) & (x <= wide) & (y >= 0) & (y <= high)
    u, v = _clip(x - 0.5, 0.0, wide - 1), _clip(y - 0.5, 0.0, high - 1)
    u, v = tl.where(inside, u, 0.0), tl.where(inside, v, 0.0)
    i, j = u.to(tl.int64), v.to(tl.int64)
    a, b = u - i.to(tl.float32), v - j.to(tl.float32)
    source = pixels + tl.load(starts + image)
    upper = source + j * width * CHANNELS
    lower = source + tl.minimum(j + 1, height - 1) * width * CHANNELS
    left, right = i * CHANNELS, tl.minimum(i + 1, width - 1) * CHANNELS
    target = out + (image * rows * columns + place) * CHANNELS
    red = _value(upper, lower, left, right, a, b, inside, outside)
    if CHANNELS == 1:
        if COLOUR:
            red = _clip(red + tl.load(colours + 4 * image + 1), 0.0, 255.0)
            red = _clip(red * (1 + tl.load(colours + 4 * image + 3)), 0.0, 255.0)
        tl.store(target, ((red - tl.load(mean)) * tl.load(scale)).to(out.dtype.element_ty), mask=here)
    else:
        green = _value(upper + 1, lower + 1, left, right, a, b, inside, outside)
        blue = _value(upper + 2, lower + 2, left, right, a, b, inside, outside)
        if COLOUR:
            hue, more = tl.load(colours + 4 * image), 1 + tl.load(colours + 4 * image + 3)
            lighter, fuller = tl.load(colours + 4 * image + 1), tl.load(colours + 4 * image + 2)
            if (hue != 0) | (lighter != 0) | (fuller != 0):
                r, g, c = red / 255, green / 255, blue / 255
                most, least = tl.maximum(tl.maximum(r, g), c), tl.minimum(tl.minimum(r, g), c)
                d, light = most - least, (most + least) / 2
                part = tl.where(d > 0, d, 1.0)
                full = tl.where(d > 0, d / tl.where(d > 0, 1 - tl.abs(2 * light - 1), 1.0), 0.0)
                sector = tl.where(most == g, 2 + (c - r) / part, 4 + (r - g) / part)
                first = (g - c) / part
                first = tl.where(first < 0, first + 6, first)
                sector = tl.where(d > 0, tl.where(most == r, first, sector), 0.0)
                sector = _clip(sector + hue / 30, 0.0, 6.0)
                light = _clip(light + lighter / 255, 0.0, 1.0)
                full = _clip(full + fuller / 255, 0.0, 1.0)
                reach = full * tl.minimum(light, 1 - light)
                red = _channel(light, reach, sector, 0.0)
                green = _channel(light, reach, sector, 8.0)
                blue = _channel(light, reach, sector, 4.0)
            red, green, blue = (
                _clip(red * more, 0.0, 255.0),
                _clip(green * more, 0.0, 255.0),
                _clip(blue * more, 0.0, 255.0),
            )
        tl.store(target, ((red - tl.load(mean)) * tl.load(scale)).to(out.dtype.element_ty), mask=here)
        green = (green - tl.load(mean + 1)) * tl.load(scale + 1)
        tl.store(target + 1, green.to(out.dtype.element_ty), mask=here)
        blue = (blue - tl.load(mean + 2)) * tl.load(scale + 2)
        tl.store(target + 2, blue.to(out.dtype.element_ty), mask=here)
