"""Compiled where there is a GPU; elsewhere Triton interprets the kernel on the CPU (tests/conftest.py)."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.pixels.terms import Finish, Packed
from tests.algorithms.kernels import pixels_agreement
from tests.algorithms.kernels.pixels_agreement import MAPS, agree

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu


def by_triton(
    images: Packed,
    maps: np.ndarray,
    colours: np.ndarray | None,
    finish: Finish,
    shape: tuple[int, int],
    half: bool = False,
) -> np.ndarray:
    from optml.algorithms.kernels.pixels import triton as pixels_triton

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def there(array: np.ndarray) -> object:
        return torch.from_numpy(array).to(device)

    packed = Packed(there(images.pixels), there(images.starts), there(images.sizes), images.channels)
    offsets = None if colours is None else there(colours)
    out = pixels_triton.render(packed, there(maps), offsets, finish, shape, half)
    result: np.ndarray = out.float().cpu().numpy()
    return result


@pytest.mark.parametrize("colour", [False, True], ids=["plain", "colour"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", MAPS)
def test_maps_and_colours_agree_with_the_reference(name: str, channels: int, colour: bool) -> None:
    agree(by_triton, name, channels, colour, "imagenet")


def test_pixels_that_are_only_moved_keep_their_values() -> None:
    pixels_agreement.keeps_pixels(by_triton)


def test_colours_come_out_as_by_hand() -> None:
    pixels_agreement.colours_by_hand(by_triton)


def test_half_precision_keeps_eight_bits() -> None:
    picture = pixels_agreement.images(3)[0]
    identity = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)
    out = by_triton(Packed.of([picture]), identity, None, Finish.of("raw"), (48, 64), half=True)
    np.testing.assert_array_equal(out[0], picture)
