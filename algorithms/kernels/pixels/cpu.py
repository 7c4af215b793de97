"""The pass from uint8 pixels to a batch on CPUs: an output row at a time, in cache from the first read to the
last write."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int64, njit, types, uint8, void

from optml.algorithms.kernels.pixels.terms import HUE, LIGHTNESS, SATURATION, Finish, Packed

_image = types.Array(uint8, 3, "C", readonly=True)
_row, _places = float32[::1], int64[::1]
_matrix = types.Array(float32, 2, "C", readonly=True)
_numbers = types.Array(float32, 1, "C", readonly=True)


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
    if matrix[0, 1] == 0 and matrix[1, 0] == 0:
        _straight(image, matrix, colour, finish.mean, finish.scale, finish.outside, out)
    else:
        _oblique(image, matrix, colour, finish.mean, finish.scale, finish.outside, out)


_PLAIN = np.zeros(3, np.float32)
_signature = void(_image, _matrix, _numbers, _numbers, _numbers, types.float64, float32[:, :, ::1])
_options: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": {"contract", "nsz"},
    "error_model": "numpy",
}


@njit(void(_row, _numbers), **_options)
def _recolour(line, colour):  # type: ignore[no-untyped-def]
    """Hue, lightness and saturation of a row moved, in place."""
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    hue = colour[0] / np.float32(30)
    lighter, fuller = colour[1] / np.float32(LIGHTNESS), colour[2] / np.float32(SATURATION)
    for c in range(len(line) // 3):
        r, g, b = (
            line[3 * c] / np.float32(255),
            line[3 * c + 1] / np.float32(255),
            line[3 * c + 2] / np.float32(255),
        )
        most, least = max(r, g, b), min(r, g, b)
        d, light = most - least, (most + least) / two
        full, sector = zero, zero
        if d > 0:
            full = d / (one - abs(two * light - one))
            if most == r:
                sector = (g - b) / d
                if sector < 0:
                    sector += np.float32(6)
            elif most == g:
                sector = two + (b - r) / d
            else:
                sector = np.float32(4) + (r - g) / d
        sector = min(max(sector + hue, zero), np.float32(HUE / 30))
        light = min(max(light + lighter, zero), one)
        full = min(max(full + fuller, zero), one)
        reach = full * min(light, one - light)
        for k in range(3):
            turn = np.float32((0, 8, 4)[k]) + two * sector
            if turn >= 12:
                turn -= np.float32(12)
            peak = min(max(min(turn - np.float32(3), np.float32(9) - turn), -one), one)
            line[3 * c + k] = np.float32(255) * (light - reach * peak)


@njit(void(_row, _numbers, _numbers, _numbers, int64, _row), **_options)
def _finish(line, colour, mean, scale, channels, out):  # type: ignore[no-untyped-def]
    """Colour and scaling of a row."""
    if colour[0] != 0 or colour[1] != 0 or colour[2] != 0:
        if channels == 3:
            _recolour(line, colour)
        else:
            for k in range(len(line)):
                line[k] = min(max(line[k] + colour[1], np.float32(0)), np.float32(255))
    for c in range(len(line) // channels):
        for k in range(channels):
            out[c * channels + k] = (line[c * channels + k] - mean[k]) * scale[k]


@njit(_signature, **_options)
def _straight(image, matrix, colour, mean, scale, outside, out):  # type: ignore[no-untyped-def]
    """Rows to rows and columns to columns: between two rows first, then between neighbours of the result."""
    height, width, channels = image.shape
    rows, columns, _ = out.shape
    places, parts = np.empty(columns, np.int64), np.empty(columns, np.float32)
    first, last = width, 0
    for c in range(columns):
        x = matrix[0, 0] * np.float32(c + 0.5) + matrix[0, 2]
        places[c] = -1
        if 0 <= x <= width:
            u = min(max(x - np.float32(0.5), np.float32(0)), np.float32(width - 1))
            i = int(u)
            places[c], parts[c] = i * channels, u - np.float32(i)
            first, last = min(first, i), max(last, min(i + 1, width - 1))
    low, high = first * channels, (last + 1) * channels
    between = np.zeros((width + 1) * channels, np.float32)
    line = np.empty(columns * channels, np.float32)
    fill = np.float32(outside)
    for r in range(rows):
        y = matrix[1, 1] * np.float32(r + 0.5) + matrix[1, 2]
        if 0 <= y <= height:
            v = min(max(y - np.float32(0.5), np.float32(0)), np.float32(height - 1))
            j = int(v)
            part = v - np.float32(j)
            upper = image[j].reshape(width * channels)
            lower = image[min(j + 1, height - 1)].reshape(width * channels)
            for k in range(low, high):
                above = np.float32(upper[k])
                between[k] = above + part * (np.float32(lower[k]) - above)
            for c in range(columns):
                i = places[c]
                for k in range(channels):
                    left = between[i + k]
                    line[c * channels + k] = (
                        fill if i < 0 else left + parts[c] * (between[i + channels + k] - left)
                    )
        else:
            line[:] = fill
        _finish(line, colour, mean, scale, channels, out[r].reshape(columns * channels))


@njit(_signature, **_options)
def _oblique(image, matrix, colour, mean, scale, outside, out):  # type: ignore[no-untyped-def]
    """Any map: four neighbours of each pixel."""
    height, width, channels = image.shape
    rows, columns, _ = out.shape
    line = np.empty(columns * channels, np.float32)
    fill = np.float32(outside)
    one, half = np.float32(1), np.float32(0.5)
    for r in range(rows):
        for c in range(columns):
            x = matrix[0, 0] * np.float32(c + 0.5) + matrix[0, 1] * np.float32(r + 0.5) + matrix[0, 2]
            y = matrix[1, 0] * np.float32(c + 0.5) + matrix[1, 1] * np.float32(r + 0.5) + matrix[1, 2]
            if x < 0 or x > width or y < 0 or y > height:
                for k in range(channels):
                    line[c * channels + k] = fill
                continue
            u = min(max(x - half, np.float32(0)), np.float32(width - 1))
            v = min(max(y - half, np.float32(0)), np.float32(height - 1))
            i, j = int(u), int(v)
            a, b = u - np.float32(i), v - np.float32(j)
            right, below = min(i + 1, width - 1), min(j + 1, height - 1)
            for k in range(channels):
                upper = (one - a) * np.float32(image[j, i, k]) + a * np.float32(image[j, right, k])
                lower = (one - a) * np.float32(image[below, i, k]) + a * np.float32(image[below, right, k])
                line[c * channels + k] = upper + b * (lower - upper)
        _finish(line, colour, mean, scale, channels, out[r].reshape(columns * channels))
