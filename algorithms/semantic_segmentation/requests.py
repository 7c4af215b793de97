"""A picture as a request, a mask or probabilities as an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from optml.algorithms.answers import Answer, Written
from optml.errors import UserError
from optml.formats.content_type import JSON_LINES, RECORDIO_PROTOBUF, ContentType
from optml.formats.images.png import png
from optml.formats.record_encoding import record_of
from optml.formats.recordio import MAX_LENGTH
from optml.formats.records import Columns

PNG = "image/png"
PROTOBUF = ("application/x-protobuf", RECORDIO_PROTOBUF)
HEADS = 1 << 10  # bytes of a record beside its probabilities, at most


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """pixels: of each picture (h, w, 3) uint8, as the network is to see it.   sizes: height and width of the
    answers."""

    pixels: Sequence[np.ndarray]
    sizes: Sequence[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.pixels)


def decode(body: bytes, form: ContentType, model: Any) -> Pictures:
    """One picture, told by its first bytes, whatever the content type says; smaller where OPTML_MAX_SIDE asks
    for it. Raises UserError for what is none or too large."""
    from optml.algorithms.kernels.pixels.terms import Finish
    from optml.algorithms.semantic_segmentation.sides import limited
    from optml.algorithms.vision.augment import stretched
    from optml.algorithms.vision.sight import see
    from optml.formats.images.decode import Encoded

    image = Encoded.of(body, "the request")
    size = limited(*image.size)
    if size == image.size:
        return Pictures([image.pixels()], [image.size])
    out = np.empty((*size, 3), np.float32)
    see(image, stretched(image.size, size), Finish.of("raw"), out)
    return Pictures([out.round().astype(np.uint8)], [image.size])


def join(batches: Sequence[Pictures]) -> Pictures:
    """Several requests as one."""
    return Pictures(
        [pixels for batch in batches for pixels in batch.pixels],
        [size for batch in batches for size in batch.sizes],
    )


def encode(columns: Columns, media: str, answer: Answer) -> Written:
    """A PNG, whose values are classes, with the palette of training; RecordIO-protobuf of probabilities;
    JSON of classes."""
    scores = columns.get("scores", ())
    if media == PNG:
        return Written([png(one.classes(), one.palette) for one in scores], between=b"")
    if media in PROTOBUF:
        return Written([_probabilities(one) for one in scores], between=b"")
    rows = [_classes(one) for one in scores]
    return Written(rows, closing=b"\n" if media == JSON_LINES and not answer.batch else b"")


def _probabilities(scored: Any) -> bytes:
    """One record: `target` (1, K, H, W) flattened, `shape` these four numbers. Raises UserError, before they
    are made, for more than a record holds."""
    (k, height, width), most = scored.shape, MAX_LENGTH - HEADS
    if (size := 4 * k * height * width) > most:
        raise UserError(
            f"the probabilities of {k} classes at {width} x {height} pixels would take {size >> 20} MiB, "
            f"more than the {most >> 20} MiB of a record: ask for image/png, or send a smaller picture"
        )
    shape = np.array([1, *scored.shape], np.int32)
    return record_of({"target": scored.probabilities().reshape(-1), "shape": shape})


def _classes(scored: Any) -> bytes:
    rows = orjson.dumps(scored.classes(), option=orjson.OPT_SERIALIZE_NUMPY)
    return b'{"shape":[%d,%d],"predictions":%b}' % (scored.height, scored.width, rows)


def sample(model: Any, media: str) -> bytes:
    """A black picture of the model's size, as PNG."""
    return png(np.zeros((model.facts.crop, model.facts.crop), np.uint8))
