from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.vision.augment import Crop, Level, Stretch, View, stretched
from optml.errors import UserError
from optml.formats.images.decode import Encoded
from optml.formats.images.header import Header


def image(height: int, width: int) -> Encoded:
    return Encoded(b"", Header("PNG", height, width), "a.png")


def place(view: View, column: float, row: float) -> tuple[float, float]:
    x, y = view.matrix @ [column, row, 1]
    return float(x), float(y)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_inference_sees_the_whole_image() -> None:
    view = Stretch((10, 20))(image(30, 80), rng())
    assert place(view, 0, 0) == (0, 0)
    assert place(view, 20, 10) == (80, 30)
    assert view.scale == pytest.approx(3)
    assert stretched((30, 80), (10, 20)).colour is None


def test_without_augmentation_it_is_the_centre() -> None:
    view = Crop((224, 224), resize=256)(image(480, 640), rng())
    # 640 * 256 // 480 = 341 columns, of which (341 - 224) // 2 = 58 are left out
    assert place(view, 0, 0) == pytest.approx((58 * 640 / 341, 16 * 480 / 256))
    assert place(view, 224, 224) == pytest.approx(((58 + 224) * 640 / 341, 240 * 480 / 256))
    assert view.scale == pytest.approx(1.875, rel=2e-3)


@given(st.integers(30, 60), st.integers(30, 60), st.sampled_from([None, 30, 41]), st.integers(0, 99))
def test_a_random_crop_lies_within_the_image(height: int, width: int, resize: int | None, seed: int) -> None:
    view = Crop((30, 24), resize, "crop")(image(height, width), rng(seed))
    corners = [place(view, column, row) for column in (0, 24) for row in (0, 30)]
    assert min(x for x, _ in corners) >= -1e-9
    assert max(x for x, _ in corners) <= width + 1e-9
    assert min(y for _, y in corners) >= -1e-9
    assert max(y for _, y in corners) <= height + 1e-9


def test_places_and_mirrors_are_drawn_evenly() -> None:
    draw, generator = Crop((8, 8), level="crop"), rng()
    views = [draw(image(10, 11), generator) for _ in range(3000)]
    mirrored = [view.matrix[0, 0] < 0 for view in views]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.04)
    lefts = [min(place(view, 0, 0)[0], place(view, 8, 0)[0]) for view in views]
    assert [lefts.count(left) / 3000 for left in range(4)] == pytest.approx([0.25] * 4, abs=0.04)
    tops = [place(view, 0, 0)[1] for view in views]
    assert [tops.count(top) / 3000 for top in range(3)] == pytest.approx([1 / 3] * 3, abs=0.04)


@pytest.mark.parametrize("level", ["crop_color", "crop_color_transform"])
def test_offsets_of_colour_are_whole_and_reach_their_ends(level: Level) -> None:
    draw, generator = Crop((8, 8), level=level), rng()
    colours = np.array([draw(image(8, 8), generator).colour for _ in range(4000)])
    assert (colours == np.floor(colours)).all()
    assert colours.min(axis=0).tolist() == [-36, -50, -50, 0]
    assert colours.max(axis=0).tolist() == [36, 50, 50, 0]


def test_the_affine_map_is_the_published_matrix_about_the_centre() -> None:
    draw, generator = Crop((40, 40), level="crop_color_transform"), rng(4)
    angles, ratios, shears = [], [], []
    for _ in range(400):
        view = draw(image(40, 40), generator)
        step = 1 if np.linalg.det(view.matrix[:, :2]) > 0 else -1
        assert place(view, 20, 20) == pytest.approx((20, 20))
        (p, q), (s, t) = np.linalg.inv(view.matrix[:, :2] * [step, 1])  # forth: [[p, q], [s, t]]
        angle, ws = math.atan2(-s, t), math.hypot(s, t)
        hs = p * math.cos(angle) + q * math.sin(angle)
        m = (q * math.cos(angle) - p * math.sin(angle)) / ws
        assert hs + ws == pytest.approx(2)  # hs = 2 / (1 + r), ws = r hs
        angles.append(math.degrees(angle))
        ratios.append(ws / hs)
        shears.append(m)
    assert np.abs(np.array(angles) - np.round(angles)).max() < 1e-6
    assert (round(min(angles)), round(max(angles))) == (-10, 10)
    assert min(ratios) == pytest.approx(0.75, abs=0.02)
    assert max(ratios) == pytest.approx(1.25, abs=0.02)
    assert min(shears) == pytest.approx(-0.1, abs=0.01)
    assert max(shears) == pytest.approx(0.1, abs=0.01)


def test_an_image_smaller_than_the_crop_is_refused_with_both_sizes() -> None:
    with pytest.raises(UserError, match=r"a\.png is 31 x 20 pixels: smaller than image_shape, 24 x 24"):
        Crop((24, 24))(image(20, 31), rng())
    with pytest.raises(UserError, match=r"31 x 20 pixels, 34 x 22 after resize=22: .* set resize to 24"):
        Crop((24, 24), resize=22)(image(20, 31), rng())
    Crop((24, 24), resize=24)(image(20, 31), rng())


def test_the_scale_is_that_of_the_direction_that_shrinks_least() -> None:
    assert View(np.array([[4.0, 0, 0], [0, 2, 0]])).scale == pytest.approx(2)
    turned = np.array([[0.0, -3, 0], [3, 0, 0]])
    assert View(turned).scale == pytest.approx(3)
    skewed = np.array([[2.0, 1, 0], [0.3, 1.5, 0]])
    assert View(skewed).scale == pytest.approx(np.linalg.svd(skewed[:, :2], compute_uv=False).min())
