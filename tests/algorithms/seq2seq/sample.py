"""Copying as a language: pairs, vocabularies, settings and training in this process."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric
from optml.algorithms.sequences import vocabulary
from optml.container.group import Alone

torch = pytest.importorskip("torch")

from optml.algorithms.seq2seq.data import data  # noqa: E402
from optml.algorithms.seq2seq.hyperparameters import Hyperparameters  # noqa: E402
from optml.algorithms.seq2seq.learner import Learner  # noqa: E402
from optml.algorithms.seq2seq.records import RESERVED  # noqa: E402
from optml.algorithms.seq2seq.texts import record  # noqa: E402
from optml.algorithms.sequences.texts import Pair  # noqa: E402

WORDS = [f"w{number}" for number in range(10)]
IDS = {word: place for place, word in enumerate([*RESERVED, *WORDS])}
VOCABULARY = vocabulary.write(IDS)
FILES = {"vocab.src.json": VOCABULARY, "vocab.trg.json": VOCABULARY}
SMALL = {
    "num_embed_source": 8,
    "num_embed_target": 8,
    "rnn_num_hidden": 16,
    "cnn_num_hidden": 16,
    "batch_size": 16,
    "max_seq_len_source": 12,
    "max_seq_len_target": 12,
    "checkpoint_frequency_num_batches": 10,
    "max_num_epochs": 2,
    "learning_rate": 0.01,
}


@dataclass
class Files:
    """A channel of files, `algorithms.sources.Source` as far as this algorithm asks."""

    content: Mapping[str, bytes]
    name: str = "train"
    distribution: str = "FullyReplicated"
    order: Sequence[str] = field(default_factory=tuple)

    def streams(self) -> Iterator[tuple[str, BinaryIO]]:
        for name, content in self.content.items():
            yield f"{self.name}/{name}", io.BytesIO(content)

    def stopped(self) -> bool:
        return False


def hyperparameters(**changes: Any) -> Hyperparameters:
    return Hyperparameters.model_validate(SMALL | changes)


def sentences(count: int = 60, seed: int = 0, longest: int = 8) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [random.integers(4, 14, random.integers(1, longest + 1)).tolist() for _ in range(count)]


def encoded(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> bytes:
    return b"".join(record(Pair((None, None)), [list(source), list(target)]) for source, target in pairs)


def copies(count: int = 60, seed: int = 0, longest: int = 8) -> bytes:
    """Records whose target is their source."""
    return encoded([(one, one) for one in sentences(count, seed, longest)])


def setting(cluster: Cluster | None = None, **changes: Any) -> Setting:
    vocab = Files(FILES, "vocab")
    return Setting(hyperparameters(**changes), cluster or Alone(), auxiliary={"vocab": vocab})  # type: ignore[dict-item]


def train(
    records: bytes, cluster: Cluster | None = None, epochs: int = 2, longest: int = 8, **changes: Any
) -> tuple[Learner, list[Metric]]:
    """The learner after some epochs, and the metrics of an evaluation behind each."""
    made = setting(cluster, **changes)
    source = data(Files({"a.rec": records}), made)  # type: ignore[arg-type]
    scored = data(Files({"a.rec": copies(40, 7, longest)}, "validation"), made)  # type: ignore[arg-type]
    learner = Learner(replace(made, train=source))
    metrics: list[Metric] = []
    for epoch in range(epochs):
        batches = list(source.epoch(epoch))
        counts = learner.cluster.gather(np.array([len(batches)]))
        for number in range(max(int(count[0]) for count in counts)):
            learner.update(batches[number] if number < len(batches) else None)
        metrics += [*learner.end_round(), *learner.evaluate("validation", scored.epoch(epoch))]
    return learner, metrics


def folder(root: Path, **changes: Any) -> Path:
    """A model folder, barely trained."""
    learner, _ = train(copies(), epochs=1, **changes)
    model = learner.model()
    assert model is not None
    model.save(root)
    return root
