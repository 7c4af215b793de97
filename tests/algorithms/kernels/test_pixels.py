from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.kernels.pixels import reference, render
from optml.algorithms.kernels.pixels.terms import Finish, Packed
from tests.algorithms.kernels import pixels_agreement
from tests.algorithms.kernels.pixels_agreement import MAPS, agree


@pytest.mark.parametrize("colour", [False, True], ids=["plain", "colour"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", MAPS)
def test_maps_and_colours_agree_with_the_reference(name: str, channels: int, colour: bool) -> None:
    agree(render, name, channels, colour, "raw")
    agree(render, name, channels, colour, "imagenet")


def test_pixels_that_are_only_moved_keep_their_values() -> None:
    pixels_agreement.keeps_pixels(render)


def test_colours_come_out_as_by_hand() -> None:
    pixels_agreement.colours_by_hand(render)


def test_images_that_nobody_may_write_to_are_read() -> None:
    picture = pixels_agreement.images(3)[0]
    picture.flags.writeable = False
    packed = Packed(picture.reshape(-1), np.zeros(1, np.int64), np.array([picture.shape[:2]]), 3)
    identity = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)
    out = render(packed, identity, None, Finish.of("raw"), (4, 4))
    np.testing.assert_array_equal(out[0], picture[:4, :4])


def test_the_reference_of_colours_is_that_of_the_standard_library() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (1, 300, 3), np.uint8)
    identity, shape = np.array([[1, 0, 0], [0, 1, 0]], np.float32), (1, 300)
    for hue, lightness, saturation in rng.integers(-60, 61, (9, 3)).tolist():
        ours = reference(
            picture, identity, np.array([hue, lightness, saturation, 0]), Finish.of("raw"), shape
        )
        for pixel, value in zip(picture[0], ours[0], strict=True):
            h, light, s = colorsys.rgb_to_hls(*(pixel / 255).tolist())
            h = min(max(180 * h + hue, 0), 180) / 180
            light, s = (min(max(x, 0), 1) for x in (light + lightness / 255, s + saturation / 255))
            np.testing.assert_allclose(value / 255, colorsys.hls_to_rgb(h, light, s), atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    st.lists(st.floats(-4, 4, width=32), min_size=6, max_size=6),
)
def test_any_map_agrees_with_the_reference(size: tuple[int, int, int], numbers: list[float]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    matrix = np.array(numbers, np.float32).reshape(2, 3)
    finish, shape = Finish.of("raw", size[2]), (5, 6)
    out = render(Packed.of([picture]), matrix[None], None, finish, shape)
    expected = reference(picture, matrix, None, finish, shape)
    difference = np.abs(out[0] - expected)
    difference[pixels_agreement.on_the_edge(matrix, shape, size)] = 0
    assert difference.max() <= 0.01
