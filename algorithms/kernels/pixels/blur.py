"""A Gaussian blur of up to a pixel, of images that `pixels` has rendered:

    out[r, c] = sum_ij w_i w_j in[r + i, c + j],   w_i = exp(-i^2 / (2 sigma^2)) / sum,   i, j = -REACH ..
    REACH

in which places beside the image are those of its edge. It is linear, so it may come before or after scaling.
"""

from __future__ import annotations

import numpy as np
from numba import float32, njit, void

from optml.algorithms.kernels.pixels.terms import Array

REACH = 3  # pixels, three deviations of the widest
LEAST = 0.2  # deviation below which nothing is seen: the neighbours weigh less than 4e-6


def weights(sigma: float) -> np.ndarray:
    """(2 REACH + 1,) float32."""
    powers = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / (2 * max(sigma, LEAST) ** 2))
    shares: np.ndarray = (powers / powers.sum()).astype(np.float32)
    return shares


def blur_one(image: np.ndarray, sigma: float) -> None:
    """Blur (height, width, channels) float32 in place. Releases the lock on the process."""
    if sigma >= LEAST:
        _blur(image, weights(sigma), np.empty_like(image))


def blur(images: Array, sigmas: np.ndarray) -> Array:
    """Of a torch tensor (n, height, width, channels) float32, each by its own deviation; (n,) float64."""
    import torch

    taps = np.stack([weights(sigma) for sigma in sigmas.tolist()])
    taps[sigmas < LEAST] = np.eye(2 * REACH + 1, dtype=np.float32)[REACH]
    shares = torch.from_numpy(taps).to(images.device)[:, :, None, None, None]
    for axis in (1, 2):
        last = images.shape[axis] - 1
        at = torch.arange(last + 1, device=images.device)
        total = torch.zeros_like(images)
        for tap in range(2 * REACH + 1):
            total += shares[:, tap] * images.index_select(axis, (at + tap - REACH).clamp(0, last))
        images = total
    return images


@njit(void(float32[:, :, ::1], float32[::1], float32[:, :, ::1]), cache=True, nogil=True, fastmath=True)
def _blur(image, taps, between):  # type: ignore[no-untyped-def]
    height, width, channels = image.shape
    row = width * channels
    source, target = image.reshape(height, row), between.reshape(height, row)
    for r in range(height):
        for k in range(row):
            target[r, k] = taps[REACH] * source[r, k]
        for tap in range(2 * REACH + 1):
            if tap != REACH:
                other = source[min(max(r + tap - REACH, 0), height - 1)]
                for k in range(row):
                    target[r, k] += taps[tap] * other[k]
    for r in range(height):
        for c in range(width):
            inner = REACH <= c < width - REACH
            for k in range(channels):
                total = np.float32(0)
                for tap in range(2 * REACH + 1):
                    place = c + tap - REACH
                    if not inner:
                        place = min(max(place, 0), width - 1)
                    total += taps[tap] * between[r, place, k]
                image[r, c, k] = total
