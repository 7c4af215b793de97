"""From decoded images to a normalised batch in one pass: crop, resize or affine map, mirror, colour, scaling.

Pixel i of a row covers [i, i + 1). The value of image v at the position (x, y), by its four neighbours:

    u = clip(x - 1/2, 0, width - 1), i = floor(u), a = u - i;  likewise y: j, b
    v(x, y) = (1-b) ((1-a) v[j, i] + a v[j, i+1]) + b ((1-a) v[j+1, i] + a v[j+1, i+1])

and `outside` where x is not in [0, width] or y not in [0, height]. The output pixel of column c and row r is

    out[r, c] = (colour(v(M (c + 1/2, r + 1/2, 1))) - mean) * scale

with M (2, 3) by image: crop, mirror, resize, rotation and shear are all such a map. `colour` adds offsets to
hue (0..180), lightness and saturation (0..255) of RGB, each clipped to its range (of one channel, lightness
alone), and what comes back is multiplied by 1 + contrast and clipped to 0..255:

    max, min of (r, g, b) / 255;  l = (max + min) / 2;  d = max - min;  s = d / (1 - |2 l - 1|), 0 where d is
    h = 30 ((g - b) / d mod 6 | 2 + (b - r) / d | 4 + (r - g) / d), by which of r, g, b is the largest
    back: k = (n + h / 15) mod 12, n = 0, 8, 4 for r, g, b;  l - s min(l, 1 - l) max(-1, min(k - 3, 9 - k, 1))

(A. R. Smith, "Color gamut transform pairs", SIGGRAPH 1978; ranges and clipping are OpenCV's and MXNet's.)
Everything is float32: values 0..255 are right to 0.01, to 0.1 behind `colour` (0.15 with contrast), whose hue
of nearly grey pixels turns on their last bit. A position within 1e-3 of the image's edge may count as beside
it.

NumPy arrays take the CPU path, CUDA tensors the Triton kernel.
"""

from __future__ import annotations

import numpy as np

from optml.algorithms.kernels.pixels.terms import HUE, LIGHTNESS, SATURATION, Array, Finish, Packed


def render(
    images: Packed,
    maps: Array,
    colours: Array | None,
    finish: Finish,
    shape: tuple[int, int],
    *,
    half: bool = False,
) -> Array:
    """The batch (n, height, width, channels), of `shape` (height, width).

    maps: (n, 2, 3) float32.   colours: (n, 4) float32, offsets of hue, lightness, saturation and
    what is added to a contrast of 1; None: of no image. half: bfloat16 instead of float32, of CUDA tensors.
    """
    if isinstance(images.pixels, np.ndarray):
        from optml.algorithms.kernels.pixels import cpu as pixels_cpu

        return pixels_cpu.render(images, maps, colours, finish, shape)
    from optml.algorithms.kernels.pixels import triton as pixels_triton

    return pixels_triton.render(images, maps, colours, finish, shape, half)


def reference(
    image: np.ndarray, matrix: np.ndarray, colour: np.ndarray | None, finish: Finish, shape: tuple[int, int]
) -> np.ndarray:
    """One image (h, w, channels) uint8 as (height, width, channels) float64, for tests."""
    height, width, _ = image.shape
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = (row[0] * columns + row[1] * rows + row[2] for row in np.asarray(matrix, np.float64))
    u, v = (x - 0.5).clip(0, width - 1), (y - 0.5).clip(0, height - 1)
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    a, b = (u - i)[..., None], (v - j)[..., None]
    right, below = np.minimum(i + 1, width - 1), np.minimum(j + 1, height - 1)
    exact = image.astype(np.float64)
    values = (1 - b) * ((1 - a) * exact[j, i] + a * exact[j, right])
    values += b * ((1 - a) * exact[below, i] + a * exact[below, right])
    values[(x < 0) | (x > width) | (y < 0) | (y > height)] = finish.outside
    if colour is not None:
        values = _recoloured(values, *np.asarray(colour, np.float64).tolist())
    result: np.ndarray = (values - finish.mean.astype(np.float64)) * finish.scale.astype(np.float64)
    return result


def _recoloured(
    values: np.ndarray, hue: float, lightness: float, saturation: float, contrast: float
) -> np.ndarray:
    return (_moved(values, hue, lightness, saturation) * (1 + contrast)).clip(0, 255)


def _moved(values: np.ndarray, hue: float, lightness: float, saturation: float) -> np.ndarray:
    values = values / 255
    if values.shape[-1] == 1:
        return 255 * (values + lightness / LIGHTNESS).clip(0, 1)
    r, g, b = np.moveaxis(values, -1, 0)
    most, least = values.max(axis=-1), values.min(axis=-1)
    d, l = most - least, (most + least) / 2  # noqa: E741  as in the formula
    grey = d == 0
    part = np.where(grey, 1, d)
    s = np.where(grey, 0, d / np.where(grey, 1, 1 - np.abs(2 * l - 1)))
    sector = np.where(
        most == r, (g - b) / part % 6, np.where(most == g, 2 + (b - r) / part, 4 + (r - g) / part)
    )
    h = (30 * np.where(grey, 0, sector) + hue).clip(0, HUE)
    l = (l + lightness / LIGHTNESS).clip(0, 1)  # noqa: E741
    s = (s + saturation / SATURATION).clip(0, 1)
    reach = s * np.minimum(l, 1 - l)
    turns = [(n + h / 15) % 12 for n in (0, 8, 4)]
    return 255 * np.stack([l - reach * np.minimum(k - 3, 9 - k).clip(-1, 1) for k in turns], axis=-1)
