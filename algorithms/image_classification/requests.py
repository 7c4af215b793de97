"""A picture as a request, probabilities as an answer."""

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
    """pixels: (n, height, width, channels) float32, 0..255, of the size that the model takes."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)


def decode(body: bytes, form: ContentType, model: Any) -> Pictures:
    """One picture, stretched to the model's size, its aspect ratio not kept, as AWS's image does it; told by
    its first bytes, whatever the content type says. Raises UserError for what is none or too large."""
    from optml.algorithms.kernels.pixels.terms import Finish
    from optml.algorithms.vision.augment import stretched
    from optml.algorithms.vision.sight import see
    from optml.formats.images.decode import Encoded

    facts = model.facts
    channels = facts.architecture.channels
    image = Encoded.of(body, "the request")
    out = np.empty((1, facts.height, facts.width, channels), np.float32)
    see(image, stretched(image.size, (facts.height, facts.width)), Finish.of("raw", channels), out[0])
    return Pictures(out)


def join(batches: Sequence[Pictures]) -> Pictures:
    """Several requests as one."""
    return Pictures(np.concatenate([batch.pixels for batch in batches]))


def encode(columns: Columns, media: str, answer: Answer) -> Written:
    """An endpoint answers in JSON with the bare list of probabilities, a batch transform job with an object,
    and JSON lines are objects."""
    bare = media != JSON_LINES and not answer.batch and "prediction" in columns
    count = len(next(iter(columns.values())))
    rows = []
    for place in range(count):
        values = {name: _plain(column[place]) for name, column in columns.items()}
        rows.append(json.dumps(values["prediction"] if bare else values).encode())
    return Written(rows, closing=b"\n" if media == JSON_LINES and not answer.batch else b"")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def sample(model: Any, media: str) -> bytes:
    """A black picture of the model's size, as PNG."""
    height, width = model.facts.height, model.facts.width
    return png(np.zeros((height, width), np.uint8))
