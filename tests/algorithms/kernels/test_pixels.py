from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.pixels import render
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
