"""A picture as a request, boxes as an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optml.algorithms.answers import Answer, Written
from optml.formats.content_type import JSON_LINES, ContentType
from optml.formats.images.png import png
from optml.formats.records import Columns


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """pixels: (n, side, side, 3) float32, 0..255, of the size that the model takes.   sizes: (n, 2) int64,
    height and width of each picture as it came."""

    pixels: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)


def decode(body: bytes, form: ContentType, model: Any) -> Pictures:
    """One picture, stretched to the model's size; told by its first bytes, whatever the content type says.
    Raises UserError for what is none or too large."""
    from optml.algorithms.kernels.pixels.terms import Finish
    from optml.algorithms.vision.augment import stretched
    from optml.algorithms.vision.sight import see
    from optml.formats.images.decode import Encoded

    side = model.facts.side
    image = Encoded.of(body, "the request")
    out = np.empty((1, side, side, 3), np.float32)
    see(image, stretched(image.size, (side, side)), Finish.of("raw"), out[0])
    return Pictures(out, np.array([image.size]))


def join(batches: Sequence[Pictures]) -> Pictures:
    """Several requests as one."""
    return Pictures(
        np.concatenate([batch.pixels for batch in batches]),
        np.concatenate([batch.sizes for batch in batches]),
    )


def objects(detections: np.ndarray, height: int, width: int) -> list[dict[str, float | int]]:
    """Detections (k, 6) of a picture of that size as the objects of Ground Truth: whole pixels within it."""
    corners = np.rint(detections[:, 2:] * (width, height, width, height)).astype(int)
    return [
        {
            "class_id": int(number),
            "score": float(score),
            "left": left,
            "top": top,
            "width": right - left,
            "height": bottom - top,
        }
        for (number, score), (left, top, right, bottom) in zip(
            detections[:, :2].tolist(), corners.tolist(), strict=True
        )
    ]


def encode(columns: Columns, media: str, answer: Answer) -> Written:
    """An object a picture."""
    count = len(next(iter(columns.values())))
    rows = [
        json.dumps({name: _plain(column[place]) for name, column in columns.items()}).encode()
        for place in range(count)
    ]
    return Written(rows, closing=b"\n" if media == JSON_LINES and not answer.batch else b"")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def sample(model: Any, media: str) -> bytes:
    """A black picture of the model's size, as PNG."""
    return png(np.zeros((model.facts.side, model.facts.side), np.uint8))
