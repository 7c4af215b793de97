"""Training runs within this process, on rows in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.base import Run, Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.xgboost import ALGORITHM
from optml.container.group import Alone
from optml.container.hyperparameters import parse
from optml.formats.records import Origin, Records

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(400, 5)).astype(np.float32)
NUMBERS = FEATURES[:, 0] * 2 - np.abs(FEATURES[:, 1]) + 0.1 * RNG.normal(size=400)
CLASSES = np.digitize(NUMBERS, [-1.5, 0.5]).astype(float)  # 0, 1, 2
POSITIVE = (NUMBERS > 0).astype(float)


@dataclass
class Held:
    """The rows of a channel, in blocks (`algorithms.sources.Table`)."""

    blocks: list[Records]
    media: str | None = "text/csv"
    mode: str = "File"
    distribution: str = "FullyReplicated"
    columns: tuple[str, ...] | None = None

    def epoch(self, number: int) -> Iterator[Records]:
        return iter(self.blocks)


def table(features: Any, labels: Any, size: int = 150, **columns: Any) -> Held:
    """Rows cut into blocks of `size`, numbered as those of train/a.csv."""
    if labels is not None:
        labels = np.asarray(labels, np.float64)
        labels = labels[:, None] if labels.ndim == 1 else labels
    source = Origin("train/a.csv", 1, "row")
    whole = Records(features, labels, origins=((0, source),), **columns)
    return Held([whole[at : at + size] for at in range(0, len(whole), size)])


@dataclass
class Result:
    """What a run left behind."""

    lines: list[str] = field(default_factory=list)
    published: list[int] = field(default_factory=list)  # rounds of each model
    model: Any = None


def train(
    data: Mapping[str, Held],
    folder: Path,
    *,
    cluster: Cluster | None = None,
    checkpoints: Path | None = None,
    tuned: str | None = None,
    warm_start: Path | None = None,
    stop_after: int | None = None,
    processor: str = "cpu",
    **options: object,
) -> Result:
    """Hyperparameters as SageMaker sends them. stop_after: told to stop after so many lines.
    processor: the device to train on."""
    result = Result()
    texts = {"num_round": "10", "nthread": "1"} | {name: str(value) for name, value in options.items()}
    hyperparameters, _ = parse(texts, ALGORITHM.hyperparameters, [])
    setting = Setting(
        hyperparameters,
        cluster or Alone(),
        processor,
        seed=hyperparameters.seed,
        warm_start=warm_start,
        channels=tuple(data),
        tuned=tuned,
    )
    assert ALGORITHM.training.fit is not None
    result.model = ALGORITHM.training.fit(
        Run(
            setting,
            data,
            checkpoints,
            folder,
            stopped=lambda: stop_after is not None and len(result.lines) >= stop_after,
            report=result.lines.append,
            publish=lambda model: result.published.append(rounds(model)),
        )
    )
    return result


def rounds(model: Any) -> int:
    """Of its first member."""
    count: int = model.members[0].booster.num_boosted_rounds()
    return count


def both(labels: np.ndarray = NUMBERS) -> dict[str, Held]:
    """Train and validation channels of the rows above."""
    return {"train": table(FEATURES[:300], labels[:300]), "validation": table(FEATURES[300:], labels[300:])}


def score(result: Result, features: Any = FEATURES) -> np.ndarray:
    answer: np.ndarray = result.model.predict(Records(features), {})["score"]
    return answer
