"""An algorithm of sequences for tests of the seams: it learns which word follows which.

Its hyperparameters have names of their own, and a job may end by updates; a request's content type says how
long answers may be.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from optml.algorithms.answers import Answer, Response, Written
from optml.algorithms.base import Algorithm, ChannelSpec, Hyperparameters, Inference, Roles, Setting, Training
from optml.algorithms.metrics import Metric, MetricSpec
from optml.algorithms.sources import Source
from optml.errors import UserError
from optml.formats.content_type import ContentType
from optml.formats.records import Columns


class SequenceHyperparameters(Hyperparameters):
    max_num_epochs: int = Field(1, ge=1)
    max_num_batches: int | None = Field(None, ge=1)
    batch_size: int = Field(2, ge=1)


@dataclass
class Lines:
    source: Source
    size: int

    def epoch(self, number: int) -> Iterator[list[list[str]]]:
        lines = []
        for _, stream in self.source.streams():
            lines += [line.split() for line in stream.read().decode().split("\n") if line.strip()]
        for start in range(0, len(lines), self.size):
            yield lines[start : start + self.size]


@dataclass(frozen=True)
class Request:
    words: list[str]
    longest: int

    def __len__(self) -> int:
        return len(self.words)


@dataclass
class Follower:
    follows: dict[str, str]
    width: int | None = None

    def sample(self) -> Request:
        return Request(["a"], 1)

    def predict(self, batch: Request, options: Mapping[str, str]) -> Columns:
        answers = np.empty(len(batch), object)
        for place, word in enumerate(batch.words):
            answer: list[str] = []
            while word in self.follows and len(answer) < batch.longest:
                word = self.follows[word]
                answer.append(word)
            answers[place] = " ".join(answer)
        return {"target": answers}

    def save(self, folder: Path) -> None:
        about = {"algorithm": "toy-sequences", "follows": self.follows}
        (folder / "model.json").write_text(json.dumps(about))


class Learner:
    round = None
    lockstep = False

    def __init__(self, setting: Setting) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.updates = 0

    def update(self, batch: list[list[str]]) -> Iterable[Metric]:
        self.updates += 1
        for line in batch:
            self.counts.update(pairwise(line))
        return ()

    def end_round(self) -> Iterable[Metric]:
        return [Metric("train:updates", self.updates)]

    def evaluate(self, channel: str, batches: Iterable[Any]) -> Iterable[Metric]:
        return ()

    def stopping(self) -> None:
        return None

    def state_dict(self) -> dict[str, np.ndarray]:
        return {}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None: ...
    def model(self) -> Follower:
        return Follower(dict(pair for pair, _ in self.counts.most_common()[::-1]))

    def finish(self) -> tuple[Follower, Iterable[Metric]]:
        return self.model(), ()


def load(folder: Path, device: str) -> Follower:
    return Follower(json.loads((folder / "model.json").read_text())["follows"])


def decode(body: bytes, form: ContentType, model: Any) -> Request:
    words = [line.strip() for line in body.decode().split("\n") if line.strip()]
    if not words:
        raise UserError("the request holds no word")
    return Request(words, form.number("infer_max_seqlens", 10) or 10)


def encode(columns: Columns, media: str, answer: Answer) -> Written:
    return Written([json.dumps({"target": text}).encode() for text in columns["target"]])


ALGORITHM = Algorithm(
    slug="toy-sequences",
    title="Toy of sequences",
    task="nothing",
    hyperparameters=SequenceHyperparameters,
    training=Training(
        channels=(ChannelSpec("train", "train", True, ("text/plain",), "text/plain"),),
        metrics=(MetricSpec("train:updates", "#quality_metric: host={host}, train updates <score>={value}"),),
        roles=Roles(epochs="max_num_epochs", updates="max_num_batches", batch_size="batch_size"),
        learner=Learner,
        data=lambda source, setting: Lines(source, setting.hyperparameters.batch_size),
    ),
    inference=Inference(
        content_types=("text/plain",),
        accepts=("application/jsonlines",),
        response=Response(fields=("target",)),
        load=load,
        recognises=lambda folder: False,
        decode=decode,
        encode=encode,
    ),
)
