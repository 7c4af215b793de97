"""How training images are seen: boxes lie where their pixels are, whatever is drawn."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from optml.algorithms.kernels.pixels.terms import Finish
from optml.algorithms.object_detection.sampling import Seen
from optml.algorithms.vision.augment import View
from optml.algorithms.vision.boxes import Boxes
from optml.algorithms.vision.sight import see
from optml.errors import UserError
from optml.formats.images.decode import Encoded
from tests.algorithms.vision.pictures import png

Box = tuple[float, float, float, float]
HEIGHT, WIDTH, SIDE = 60, 90, 96
BOX = (0.4, 0.3, 0.6, 0.7)  # of the white part


def picture() -> Encoded:
    values = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    values[18:42, 36:54] = 255
    return Encoded.of(png(values), "picture")


def seen(*boxes: Box, random: bool = True, size: tuple[int, int] = (0, 0)) -> Seen:
    values = np.array([[1, *box, 0] for box in boxes], np.float32).reshape(-1, 6)
    return Seen(Boxes(values, np.array([0, len(boxes)]), np.array([size])), SIDE, random)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_boxes_lie_where_the_pixels_are_in_200_views() -> None:
    draw, image = seen(BOX), picture()
    checked = 0
    for seed in range(200):
        view = draw(image, rng(seed), 0)
        truths = draw.truths(0, view, image.size)
        out = np.empty((SIDE, SIDE, 3), np.float32)
        see(image, View(view.matrix), Finish.of("raw", outside=0.0), out)
        if not len(truths) or (truths[0, 3:5] - truths[0, 1:3]).min() < 0.1:
            continue
        checked += 1
        rows, columns = np.nonzero(out[:, :, 0] > 127)
        edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / SIDE
        np.testing.assert_allclose(edges, truths[0, 1:5], atol=3 / SIDE)
    assert checked > 100


def test_views_are_mirrored_made_small_and_cropped_as_often_as_told() -> None:
    draw, image = seen(BOX), picture()
    views = [draw(image, rng(seed), 0) for seed in range(1000)]
    steps = np.array([[v.matrix[0, 0] * SIDE / WIDTH, v.matrix[1, 1] * SIDE / HEIGHT] for v in views])
    assert (steps[:, 0] < 0).mean() == pytest.approx(0.5, abs=0.06)
    areas = np.abs(steps).prod(axis=1)
    whole = np.isclose(areas, 1)
    assert 0.1 < whole.mean() < 0.45  # half have no canvas, and a sixth of these no crop; or it failed
    assert areas.max() > 9  # of at most 16
    assert (areas < 0.95).mean() > 0.15
    assert areas.min() > 0.25 * 0.3**2
    colours = np.array([view.colour for view in views])
    assert (colours == 0).mean(axis=0).tolist() == pytest.approx([0.5] * 4, abs=0.06)
    assert np.abs(colours).max(axis=0).tolist() == pytest.approx([18, 32, 32, 0.5], rel=0.08)


def test_a_box_stays_by_its_centre_and_ends_at_the_edge() -> None:
    draw, image = seen((0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.96, 0.96), random=False), picture()
    view = draw(image, rng(0), 0)
    np.testing.assert_allclose(draw.truths(0, view, image.size)[:, 1:3], [[0.1, 0.1], [0.6, 0.6]], atol=1e-6)
    middle = np.array([[0.5 * WIDTH / SIDE, 0, 0.25 * WIDTH], [0, 0.5 * HEIGHT / SIDE, 0.25 * HEIGHT]])
    rows = draw.truths(0, View(middle), image.size)
    np.testing.assert_allclose(rows, [[1, 0, 0, 0.5, 0.5, 0]], atol=1e-6)


def test_crops_hold_the_centre_of_some_box() -> None:
    draw, image = seen((0.05, 0.05, 0.15, 0.2)), picture()
    assert all(len(draw.truths(0, draw(image, rng(seed), 0), image.size)) == 1 for seed in range(300))


def test_a_picture_without_boxes_is_seen_all_the_same() -> None:
    draw, image = seen(), picture()
    for seed in range(50):
        assert draw.truths(0, draw(image, rng(seed), 0), image.size).shape == (0, 6)


def test_another_picture_than_its_annotation_tells_is_named() -> None:
    with pytest.raises(UserError, match=r"picture is 90 x 60 pixels, its annotation is about 60 x 90"):
        seen(BOX, size=(90, 60))(picture(), rng(0), 0)
