"""An algorithm of images for tests of the seams: pictures in, PNG masks of what is bright out.

It reads the files of its channel at random, batches made ahead; a request is one picture, the answer bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field

from optml.algorithms.answers import Answer, Response, Written
from optml.algorithms.base import Algorithm, ChannelSpec, Hyperparameters, Inference, Roles, Setting, Training
from optml.algorithms.metrics import Metric, MetricSpec
from optml.algorithms.sources import Source
from optml.errors import UserError
from optml.formats.content_type import ContentType
from optml.formats.records import Columns

PNG, JPEG = "image/png", "image/jpeg"


class ImageHyperparameters(Hyperparameters):
    epochs: int = Field(1, ge=1)
    mini_batch_size: int = Field(2, ge=1)


def pixels(content: bytes, where: str) -> np.ndarray:
    """Grey values (h, w) uint8. Raises UserError for what is no picture."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("L"))
    except OSError:
        raise UserError(f"{where} is no picture that can be read; PNG or JPEG is expected") from None


@dataclass
class Pictures:
    files: Sequence[tuple[str, Path]]
    size: int

    def epoch(self, number: int) -> Iterator[list[np.ndarray]]:
        order = np.random.default_rng(number).permutation(len(self.files)).tolist()
        for start in range(0, len(order), self.size):
            chosen = [self.files[place] for place in order[start : start + self.size]]
            yield [pixels(path.read_bytes(), name) for name, path in chosen]


@dataclass
class Threshold:
    level: float
    width: int | None = None

    def sample(self) -> list[np.ndarray]:
        return [np.zeros((2, 2), np.uint8)]

    def predict(self, batch: list[np.ndarray], options: Mapping[str, str]) -> Columns:
        masks = np.empty(len(batch), object)
        masks[:] = [(255 * (picture > self.level)).astype(np.uint8) for picture in batch]
        return {"mask": masks}

    def save(self, folder: Path) -> None:
        about = {"algorithm": "toy-images", "level": self.level}
        (folder / "model.json").write_text(json.dumps(about))


class Learner:
    """The mean of all grey values."""

    round = None
    lockstep = False

    def __init__(self, setting: Setting) -> None:
        self.total = np.zeros(2)
        self.largest = max(
            len(path.read_bytes()) for _, path in setting.train.files
        )  # it may look before it learns

    def update(self, batch: list[np.ndarray]) -> Iterable[Metric]:
        self.total += sum(picture.sum() for picture in batch), sum(picture.size for picture in batch)
        return ()

    def end_round(self) -> Iterable[Metric]:
        return [Metric("train:level", self.total[0] / self.total[1])]

    def evaluate(self, channel: str, batches: Iterable[Any]) -> Iterable[Metric]:
        return ()

    def stopping(self) -> None:
        return None

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"total": self.total}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.total = np.array(state["total"])

    def model(self) -> Threshold:
        return Threshold(float(self.total[0] / self.total[1]))

    def finish(self) -> tuple[Threshold, Iterable[Metric]]:
        return self.model(), ()


def data(source: Source, setting: Setting) -> Pictures:
    files = source.files()
    if files is None:
        raise UserError("pictures are read at random: set TrainingInputMode to File")
    return Pictures(files, setting.hyperparameters.mini_batch_size)


def load(folder: Path, device: str) -> Threshold:
    return Threshold(json.loads((folder / "model.json").read_text())["level"])


def decode(body: bytes, form: ContentType, model: Any) -> list[np.ndarray]:
    return [pixels(body, "the request")]


def encode(columns: Columns, media: str, answer: Answer) -> Written | None:
    if media != PNG:
        return Written([json.dumps({"mask": mask.tolist()}).encode() for mask in columns["mask"]])
    rows = []
    for mask in columns["mask"]:
        stream = io.BytesIO()
        Image.fromarray(mask).save(stream, "PNG")
        rows.append(stream.getvalue())
    return Written(rows, between=b"")


ALGORITHM = Algorithm(
    slug="toy-images",
    title="Toy of images",
    task="nothing",
    hyperparameters=ImageHyperparameters,
    training=Training(
        channels=(
            ChannelSpec(
                "train",
                "train",
                required=True,
                content_types=("application/x-image", PNG),
                default_content_type="application/x-image",
                input_modes=("File",),
            ),
        ),
        metrics=(MetricSpec("train:level", "#quality_metric: host={host}, train level <score>={value}"),),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size"),
        learner=Learner,
        data=data,
        prefetch=2,
    ),
    inference=Inference(
        content_types=(JPEG, PNG, "application/x-image"),
        accepts=(PNG, "application/json", "application/jsonlines"),
        response=Response(fields=("mask",)),
        load=load,
        recognises=lambda folder: False,
        decode=decode,
        join=lambda batches: [picture for batch in batches for picture in batch],
        encode=encode,
        max_payload_mb=20,
    ),
)
