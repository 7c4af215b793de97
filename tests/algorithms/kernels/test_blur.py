from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.pixels.blur import LEAST, REACH, blur, blur_one


def reference(image: np.ndarray, sigma: float) -> np.ndarray:
    """The formula, place by place, in float64."""
    taps = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    height, width, _ = image.shape
    out = np.zeros(image.shape)
    for i, row in enumerate(taps, -REACH):
        for j, column in enumerate(taps, -REACH):
            rows = (np.arange(height) + i).clip(0, height - 1)
            columns = (np.arange(width) + j).clip(0, width - 1)
            out += row * column * image[rows][:, columns]
    return out


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (17, 12)])
@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.0])
def test_it_is_the_formula(size: tuple[int, int], sigma: float) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (*size, 3)).astype(np.float32)
    expected = reference(image, sigma)
    blur_one(image, sigma)
    np.testing.assert_allclose(image, expected, atol=1e-3)


def test_nothing_is_done_where_nothing_would_be_seen() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (4, 4, 3)).astype(np.float32)
    before = image.copy()
    blur_one(image, LEAST / 2)
    assert np.array_equal(image, before)


def test_tensors_are_blurred_alike_each_by_its_own() -> None:
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(1).uniform(0, 255, (3, 9, 11, 3)).astype(np.float32)
    together = blur(torch.from_numpy(images), np.array([0.0, 0.5, 1.0])).numpy()
    for image, sigma in zip(images, (0.0, 0.5, 1.0), strict=True):
        blur_one(image, sigma)
    np.testing.assert_allclose(together, images, atol=1e-3)
