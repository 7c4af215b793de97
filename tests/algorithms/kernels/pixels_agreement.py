"""Cases that every path of `kernels/pixels` is held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optml.algorithms.kernels.pixels import reference
from optml.algorithms.kernels.pixels.terms import Finish, Packed

Path = Callable[[Packed, np.ndarray, np.ndarray | None, Finish, tuple[int, int]], np.ndarray]

MAPS = {
    "resize": [[64 / 20, 0, 0], [0, 48 / 17, 0]],
    "mirrored crop": [[-2, 0, 50], [0, 1.5, 3]],
    "beside the image": [[1.4, 0, 50], [0, 1, -8]],
    "rotated": [[1, 0.2, -3], [-0.1, 1.2, 4]],
    "enlarged": [[0.21, 0, 9.3], [0, 0.17, 40]],
    "turned, far away": [[3, 4, -30], [-5, 2, 20]],
}
SIZES = ((48, 64), (1, 1), (2, 300), (33, 5))
SHAPES = ((17, 20), (1, 1), (5, 67))


def images(channels: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, channels), np.uint8) for size in SIZES]


def agree(path: Path, name: str, channels: int, colour: bool, scaling: str, atol: float = 0.01) -> None:
    """Of values 0..255: to the bound that the operation states."""
    pictures = images(channels)
    rng = np.random.default_rng(1)
    maps = np.repeat(np.array(MAPS[name], np.float32)[None], len(pictures), axis=0)
    maps[1:, :, 2] /= 40
    colours = rng.integers(-50, 51, (len(pictures), 4)).astype(np.float32) if colour else None
    if colours is not None:
        colours[:, 3] = [0, 0, -0.4, 0.5]
        colours[0] = 0
    finish = Finish.of(scaling, channels)
    for shape in SHAPES:
        out = path(Packed.of(pictures), maps, colours, finish, shape)
        assert out.shape == (len(pictures), *shape, channels)
        for i, picture in enumerate(pictures):
            expected = reference(picture, maps[i], None if colours is None else colours[i], finish, shape)
            difference = np.abs(out[i].astype(np.float64) - expected) / finish.scale
            difference[on_the_edge(maps[i], shape, picture.shape)] = 0
            assert difference.max() <= (0.15 if colour else atol), (name, i, shape)


def on_the_edge(matrix: np.ndarray, shape: tuple[int, int], size: tuple[int, ...]) -> np.ndarray:
    """Pixels that rounding may put beside the image or into it."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = (row[0] * columns + row[1] * rows + row[2] for row in matrix.astype(np.float64))
    distances = np.stack([x, x - size[1], y, y - size[0]])
    edge: np.ndarray = np.abs(distances).min(axis=0) < 1e-3
    return edge


def keeps_pixels(path: Path) -> None:
    """The identity gives back what is there, bit for bit; a crop too."""
    (picture, *_) = images(3)
    identity = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)
    out = path(Packed.of([picture]), identity, None, Finish.of("raw"), picture.shape[:2])
    np.testing.assert_array_equal(out[0], picture)
    crop = np.array([[[1, 0, 7], [0, 1, 3]]], np.float32)
    out = path(Packed.of([picture]), crop, None, Finish.of("raw"), (20, 30))
    np.testing.assert_array_equal(out[0], picture[3:23, 7:37])
    mirror = np.array([[[-1, 0, 64], [0, 1, 0]]], np.float32)
    out = path(Packed.of([picture]), mirror, None, Finish.of("raw"), picture.shape[:2])
    np.testing.assert_array_equal(out[0], picture[:, ::-1])


def colours_by_hand(path: Path) -> None:
    """Primary colours, black, white and grey, moved by what can be reckoned."""
    palette = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255], [128, 128, 128]], np.uint8
    )
    identity = np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)

    def moved(*colour: float) -> Any:
        offsets = np.array([[*colour, 0][:4]], np.float32)
        return path(Packed.of([palette[None]]), identity, offsets, Finish.of("raw"), (1, 6))[0, 0]

    third = moved(
        60, 0, 0
    )  # of the circle: red becomes green, green blue; blue is clipped at 180, which is red
    expected = palette[[1, 2, 0, 3, 4, 5]]
    np.testing.assert_allclose(third, expected, atol=0.01)
    np.testing.assert_allclose(moved(0, 255, 0), np.full((6, 3), 255), atol=0.01)
    np.testing.assert_allclose(moved(0, 0, 0, 0.5), np.minimum(palette * 1.5, 255), atol=0.01)
    np.testing.assert_allclose(moved(0, 0, 0, -0.5), palette / 2, atol=0.01)
    np.testing.assert_allclose(moved(0, 0, -255)[:3], np.full((3, 3), 127.5), atol=0.01)
    np.testing.assert_allclose(moved(0, 0, 51)[5], [153.4, 102.6, 102.6], atol=0.01)  # grey has hue 0, red
