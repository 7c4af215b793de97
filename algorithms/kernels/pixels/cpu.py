"""The pass from uint8 pixels to a batch on CPUs: an output row at a time, in cache from the first read to the
last write."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int64, njit, types, uint8, void

from optml.algorithms.kernels.pixels.taps import neighbours, square
from optml.algorithms.kernels.pixels.terms import HUE, LIGHTNESS, SATURATION, Finish, Packed

_PLAIN = np.zeros(4, np.float32)
_numbers = types.Array(float32, 1, "C", readonly=True)
_signature = void(
    types.Array(uint8, 3, "C", readonly=True),
    types.Array(float32, 2, "C", readonly=True),
    _numbers,
    _numbers,
    _numbers,
    float32,
    float32[:, :, ::1],
)
_row = float32[::1]
_options: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": {"contract", "nsz"},
    "error_model": "numpy",
}


def render(
    images: Packed, maps: np.ndarray, colours: np.ndarray | None, finish: Finish, shape: tuple[int, int]
) -> np.ndarray:
    """See `pixels.render`."""
    out = np.empty((len(images), *shape, images.channels), np.float32)
    for i, (start, size) in enumerate(zip(images.starts.tolist(), images.sizes.tolist(), strict=True)):
        end = start + size[0] * size[1] * images.channels
        image = images.pixels[start:end].reshape(*size, images.channels)
        render_one(image, maps[i], None if colours is None else colours[i], finish, out[i])
    return out


def render_one(
    image: np.ndarray, matrix: np.ndarray, colour: np.ndarray | None, finish: Finish, out: np.ndarray
) -> None:
    """One image (h, w, channels) uint8 to (height, width, channels) float32, both in C order; channels 1 or
    3. Releases the lock on the process."""
    colour = _PLAIN if colour is None else colour
    path = _straight if matrix[0, 1] == 0 and matrix[1, 0] == 0 else _oblique
    path(image, matrix, colour, finish.mean, finish.scale, finish.outside, out)


@njit(void(_row, _numbers, _row), **_options)
def _recolour(line, colour, planes):  # type: ignore[no-untyped-def]
    """Hue, lightness and saturation of a row moved, in place. planes: room for the row, a channel at a time;
    no step has a branch, so that several pixels are computed at once."""
    zero, one, two, six = np.float32(0), np.float32(1), np.float32(2), np.float32(6)
    width = len(line) // 3
    red, green, blue = planes[:width], planes[width : 2 * width], planes[2 * width : 3 * width]
    for c in range(width):
        red[c], green[c], blue[c] = line[3 * c], line[3 * c + 1], line[3 * c + 2]
    turn = colour[0] / np.float32(30)
    lighter, fuller = colour[1] / np.float32(LIGHTNESS), colour[2] / np.float32(SATURATION)
    unit, most_hue = np.float32(1 / 255), np.float32(HUE / 30)
    for c in range(width):
        r, g, b = red[c] * unit, green[c] * unit, blue[c] * unit
        most, least = max(r, max(g, b)), min(r, min(g, b))
        d, light = most - least, (most + least) / two
        grey = d <= zero
        part = one / (one if grey else d)
        room = one - abs(two * light - one)
        full = zero if grey else d / (one if grey else room)
        of_red = (g - b) * part
        of_red = of_red + (six if of_red < zero else zero)
        of_green, of_blue = two + (b - r) * part, np.float32(4) + (r - g) * part
        sector = of_red if most == r else (of_green if most == g else of_blue)
        sector = min(max((zero if grey else sector) + turn, zero), most_hue)
        light = min(max(light + lighter, zero), one)
        reach = min(max(full + fuller, zero), one) * min(light, one - light)
        k0 = two * sector
        k0 = k0 - (np.float32(12) if k0 >= np.float32(12) else zero)
        k8 = two * sector + np.float32(8)
        k8 = k8 - (np.float32(12) if k8 >= np.float32(12) else zero)
        k4 = two * sector + np.float32(4)
        k4 = k4 - (np.float32(12) if k4 >= np.float32(12) else zero)
        r = light - reach * min(max(min(k0 - np.float32(3), np.float32(9) - k0), -one), one)
        g = light - reach * min(max(min(k8 - np.float32(3), np.float32(9) - k8), -one), one)
        b = light - reach * min(max(min(k4 - np.float32(3), np.float32(9) - k4), -one), one)
        red[c], green[c], blue[c] = np.float32(255) * r, np.float32(255) * g, np.float32(255) * b
    for c in range(width):
        line[3 * c], line[3 * c + 1], line[3 * c + 2] = red[c], green[c], blue[c]


@njit(void(_row, _numbers, int64, _row, _row, _row, _row), **_options)
def _finish(line, colour, channels, shift, scale, planes, out):  # type: ignore[no-untyped-def]
    """Colour, contrast and scaling of a row. shift, scale: (columns * channels,), of each of its numbers."""
    if colour[0] != 0 or colour[1] != 0 or colour[2] != 0:
        if channels == 3:
            _recolour(line, colour, planes)
        else:
            for k in range(len(line)):
                line[k] = min(max(line[k] + colour[1], np.float32(0)), np.float32(255))
    if colour[3] != 0:
        for k in range(len(line)):
            line[k] = min(line[k] * (np.float32(1) + colour[3]), np.float32(255))
    for k in range(len(line)):
        out[k] = (line[k] - shift[k]) * scale[k]


@njit(_signature, **_options)
def _straight(image, matrix, colour, mean, scale, outside, out):  # type: ignore[no-untyped-def]
    """Rows to rows and columns to columns: between two rows first, then between neighbours of the result."""
    height, width, channels = image.shape
    rows, columns, _ = out.shape
    half, zero = np.float32(0.5), np.float32(0)
    places, parts = np.empty(columns, np.int64), np.empty(columns, np.float32)
    first, last = width, -1
    for c in range(columns):
        x = matrix[0, 0] * np.float32(c + 0.5) + matrix[0, 2]
        places[c] = -1
        if 0 <= x <= width:
            u = min(max(x - half, zero), np.float32(width - 1))
            i = int(u)
            places[c], parts[c] = i, u - np.float32(i)
            first, last = min(first, i), max(last, min(i + 1, width - 1))
    first = min(first, max(last, 0))
    for c in range(columns):
        places[c] = (places[c] - first) * channels if places[c] >= 0 else -1
    length = (last + 1 - first) * channels
    between = np.zeros(length + 2 * channels + 2, np.float32)  # read a pixel and a number beyond its end
    line = np.empty(columns * channels + 1, np.float32)
    planes = np.empty(columns * channels, np.float32)
    shifts, scales = np.empty(columns * channels, np.float32), np.empty(columns * channels, np.float32)
    for k in range(columns * channels):
        shifts[k], scales[k] = mean[k % channels], scale[k % channels]
    source = image.reshape(height * width * channels)
    target = out.reshape(rows * columns * channels)
    for r in range(rows):
        y = matrix[1, 1] * np.float32(r + 0.5) + matrix[1, 2]
        if 0 <= y <= height:
            v = min(max(y - half, zero), np.float32(height - 1))
            j = int(v)
            part = v - np.float32(j)
            begin = (j * width + first) * channels
            upper = source[begin : begin + length]
            begin = (min(j + 1, height - 1) * width + first) * channels
            lower = source[begin : begin + length]
            for k in range(length):
                above = np.float32(upper[k])
                between[k] = above + part * (np.float32(lower[k]) - above)
            for c in range(columns):
                i = places[c]
                if i < 0:
                    line[c * channels : (c + 1) * channels] = outside
                elif channels == 3:
                    neighbours(between, i, parts[c], line, 3 * c)
                else:
                    line[c] = between[i] + parts[c] * (between[i + 1] - between[i])
        else:
            line[:] = outside
        begin = r * columns * channels
        _finish(
            line[: columns * channels], colour, channels, shifts, scales, planes,
            target[begin : begin + columns * channels],
        )  # fmt: skip


@njit(_signature, **_options)
def _oblique(image, matrix, colour, mean, scale, outside, out):  # type: ignore[no-untyped-def]
    """Any map: four neighbours of each pixel."""
    height, width, channels = image.shape
    rows, columns, _ = out.shape
    half, zero = np.float32(0.5), np.float32(0)
    inner, right_most, low_most = np.empty(columns, np.bool_), np.float32(width - 1), np.float32(height - 1)
    across, down = np.empty(columns, np.float32), np.empty(columns, np.float32)
    line = np.empty(columns * channels + 1, np.float32)
    planes = np.empty(columns * channels, np.float32)
    shifts, scales = np.empty(columns * channels, np.float32), np.empty(columns * channels, np.float32)
    for k in range(columns * channels):
        shifts[k], scales[k] = mean[k % channels], scale[k % channels]
    source = image.reshape(height * width * channels)
    target = out.reshape(rows * columns * channels)
    wide, high = np.float32(width), np.float32(height)
    for r in range(rows):
        base_x = matrix[0, 1] * np.float32(r + 0.5) + matrix[0, 2]
        base_y = matrix[1, 1] * np.float32(r + 0.5) + matrix[1, 2]
        for c in range(columns):
            x = matrix[0, 0] * (np.float32(c) + half) + base_x
            y = matrix[1, 0] * (np.float32(c) + half) + base_y
            inner[c] = (x >= zero) & (x <= wide) & (y >= zero) & (y <= high)
            across[c] = min(max(x - half, zero), right_most)
            down[c] = min(max(y - half, zero), low_most)
        for c in range(columns):
            if not inner[c]:
                line[c * channels : (c + 1) * channels] = outside
                continue
            i, j = int(across[c]), int(down[c])
            a, b = across[c] - np.float32(i), down[c] - np.float32(j)
            step = channels if i + 1 < width else 0
            upper = (j * width + i) * channels
            lower = upper + (width * channels if j + 1 < height else 0)
            if channels == 3 and lower + step + 4 <= len(source):
                square(source, upper, lower, step, a, b, line, 3 * c)
                continue
            for k in range(channels):
                above, below = np.float32(source[upper + k]), np.float32(source[lower + k])
                above += a * (np.float32(source[upper + step + k]) - above)
                below += a * (np.float32(source[lower + step + k]) - below)
                line[c * channels + k] = above + b * (below - above)
        begin = r * columns * channels
        _finish(
            line[: columns * channels], colour, channels, shifts, scales, planes,
            target[begin : begin + columns * channels],
        )  # fmt: skip
