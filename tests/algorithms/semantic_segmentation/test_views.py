"""How images and masks are seen in training and validation."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("simplejpeg")

from optml.algorithms.kernels.pixels import labels_cpu
from optml.algorithms.kernels.pixels.terms import Finish
from optml.algorithms.semantic_segmentation.views import Middle, Square
from optml.algorithms.vision.augment import View
from optml.algorithms.vision.sight import see
from optml.formats.images.decode import Encoded
from tests.algorithms.semantic_segmentation.shapes import encoded


def image(size: tuple[int, int] = (40, 60)) -> Encoded:
    rows, columns = np.mgrid[: size[0], : size[1]]
    values = np.stack([4 * rows, 4 * columns, 0 * rows], axis=-1).clip(0, 255).astype(np.uint8)
    return Encoded.of(encoded(values), "x")


def views(draw: Square, picture: Encoded, count: int = 300) -> list[View]:
    return [draw(picture, np.random.default_rng(seed), seed) for seed in range(count)]


def test_the_longer_side_becomes_half_to_twice_base_size() -> None:
    longer = np.array([60 / abs(view.matrix[0, 0]) for view in views(Square(32, 50), image())])
    assert (longer.min(), longer.max()) == (pytest.approx(25, abs=1), pytest.approx(100, abs=1))
    ratios = [view.matrix[1, 1] / abs(view.matrix[0, 0]) for view in views(Square(32, 50), image())]
    assert np.ptp(ratios) < 0.06  # to a pixel the aspect ratio stays


def test_half_are_mirrored_and_half_are_blurred() -> None:
    drawn = views(Square(32, 50), image())
    assert np.mean([view.matrix[0, 0] < 0 for view in drawn]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([view.blur > 0 for view in drawn]) == pytest.approx(0.5, abs=0.1)
    assert max(view.blur for view in drawn) <= 1


def test_what_lies_beside_a_small_image_is_black_and_ignored() -> None:
    picture = image((20, 20))
    for view in views(Square(64, 24), picture, 30):
        pixels, mask = np.empty((64, 64, 3), np.float32), np.empty((64, 64), np.uint8)
        see(picture, View(view.matrix), Finish.of("raw", outside=0.0), pixels)
        labels_cpu.nearest(np.ones((20, 20), np.uint8), view.matrix.astype(np.float32), mask)
        side = round(20 / view.matrix[1, 1])
        assert (mask[:side, :side] == 1).all()
        assert (mask[side:] == 255).all()
        assert (mask[:, side:] == 255).all()
        assert not pixels[side:].any()
        assert not pixels[:, side:].any()


def test_crops_stay_within_large_images_and_reach_all_of_them() -> None:
    tops = []
    for view in views(Square(32, 100), image()):
        x = view.matrix[0] @ np.array([[0, 0, 1], [32, 0, 1]]).T
        assert x.min() >= -1e-6
        assert view.matrix[1, 2] >= 0
        tops.append(view.matrix[1, 2] + 32 * view.matrix[1, 1])
    assert max(tops) > 38


def test_validation_sees_the_middle_of_the_shorter_side() -> None:
    view = Middle(20)(image(), np.random.default_rng(0), 0)
    pixels = np.empty((20, 20, 3), np.float32)
    see(image(), view, Finish.of("raw"), pixels)
    assert pixels[:, 0, 0] == pytest.approx(4 * (2 * np.arange(20) + 0.5), abs=1.1)
    assert pixels[0, :, 1] == pytest.approx(4 * (10 + 2 * np.arange(20) + 0.5), abs=1.1)
