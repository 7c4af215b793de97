"""Small pictures and the files that hold them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image as Picture

from optml.formats.images import record
from optml.formats.images.record import Image


def pixels(number: int, size: tuple[int, int] = (40, 50), channels: int = 3) -> np.ndarray:
    """(h, w, channels) uint8: a gradient with a bright square, another for each number."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: size[0], : size[1]]
    slopes = rng.uniform(-1, 1, (2, channels))
    values = 128 + 100 * (rows[..., None] / size[0] * slopes[0] + columns[..., None] / size[1] * slopes[1])
    top, left = (int(rng.integers(0, side)) for side in size)
    values[top : top + 5, left : left + 5] = rng.integers(0, 256, channels)
    picture: np.ndarray = values.clip(0, 255).astype(np.uint8)
    return picture


def png(values: np.ndarray, form: str = "PNG", mode: str | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    picture = Picture.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)
    (picture.convert(mode) if mode else picture).save(stream, form, **options)
    return stream.getvalue()


def jpeg(number: int, size: tuple[int, int] = (40, 50)) -> bytes:
    content: bytes = simplejpeg.encode_jpeg(pixels(number, size))
    return content


def write_rec(path: Path, contents: list[bytes], labels: list[list[float]]) -> Path:
    """A `.rec` file and its `.idx`."""
    images = [
        Image(np.array(label, np.float32), number, content, vector=len(label) > 1)
        for number, (content, label) in enumerate(zip(contents, labels, strict=True))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        offsets = record.write(images, file)
    path.with_suffix(".idx").write_text(record.index(offsets))
    return path
