"""Small pictures of shapes and their masks: a disc, a square and a triangle on a ground of stripes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 4  # ground, disc, square, triangle
PALETTE = bytes([0, 0, 0, 200, 30, 30, 30, 200, 30, 30, 30, 200])


def shapes(number: int, size: tuple[int, int] = (48, 64)) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (h, w, 3) uint8 and classes (h, w) uint8; the border of each shape is 255, ignored."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: size[0], : size[1]]
    stripes = 20 * np.sin((rows * rng.uniform(-1, 1) + columns * rng.uniform(-1, 1)) / 3)
    pixels = rng.uniform(60, 140, 3) + stripes[..., None] + rng.normal(0, 8, (*size, 3))
    mask = np.zeros(size, np.uint8)
    for kind in rng.permutation([1, 2, 3]).tolist()[: rng.integers(2, 4)]:
        radius = float(rng.uniform(0.16, 0.26)) * min(size)
        y, x = (float(rng.uniform(radius, side - radius)) for side in size)
        down, across = rows - y, columns - x
        if kind == 1:
            inside = np.hypot(down, across) - radius
        elif kind == 2:
            inside = np.maximum(abs(down), abs(across)) - 0.85 * radius
        else:
            inside = np.maximum(down - 0.8 * radius, 1.7 * abs(across) - 0.8 * (down + radius))
        mask[inside <= 0] = kind
        mask[abs(inside) < 0.6] = 255
        pixels[inside <= 0] = rng.uniform(0, 255, 3) + rng.normal(0, 8, (int((inside <= 0).sum()), 3))
    return pixels.clip(0, 255).astype(np.uint8), mask


def encoded(values: np.ndarray, form: str = "PNG", palette: bytes | None = None) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(values)
    if palette is not None:
        picture.putpalette(palette.ljust(768, b"\0"))  # else Pillow writes fewer bits than values have
    picture.save(stream, form, **({"quality": 95} if form == "JPEG" else {}))
    return stream.getvalue()


def write(folder: Path, channel: str, count: int, first: int = 0, size: tuple[int, int] = (48, 64)) -> None:
    """Channels `channel` and `channel_annotation` below a folder."""
    for name in (channel, f"{channel}_annotation"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        pixels, mask = shapes(number, size)
        (folder / channel / f"{number:04d}.jpg").write_bytes(encoded(pixels, "JPEG"))
        (folder / f"{channel}_annotation" / f"{number:04d}.png").write_bytes(encoded(mask, palette=PALETTE))
