"""Settings, channels and small texts for the tests of BlazingText."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.blazingtext.hyperparameters import Hyperparameters
from optml.algorithms.cluster import Cluster
from optml.container.group import Alone


@dataclass
class Channel:
    """A channel (`algorithms.sources.Source`) of files in memory."""

    files: dict[str, bytes]
    name: str = "train"
    media: str | None = "text/plain"
    mode: str = "File"
    distribution: str = "FullyReplicated"
    wrapper: str = "None"
    records: list[tuple[bytes, ...]] = field(default_factory=list)
    passes: int = 0

    def stopped(self) -> bool:
        return False

    def streams(self) -> Iterator[tuple[str, BinaryIO]]:
        self.passes += 1
        return ((f"{self.name}/{name}", io.BytesIO(text)) for name, text in self.files.items())

    def examples(self, size: int) -> Iterator[tuple[bytes, ...]]:
        return iter(self.records)


def channel(text: str | bytes, name: str = "train", **described: Any) -> Channel:
    return Channel({"a.txt": text.encode() if isinstance(text, str) else text}, name, **described)


def setting(cluster: Cluster | None = None, channels: tuple[str, ...] = ("train",), **given: Any) -> Setting:
    return Setting(Hyperparameters(**given), cluster or Alone(), seed=3, channels=channels)


def topics(lines: int, labelled: bool, seed: int = 0) -> str:
    """Lines about one of two subjects, each with words of its own and some that are common to both."""
    generator = np.random.default_rng(seed)
    subjects = [[f"{kind}{number}" for number in range(12)] for kind in ("cat", "sea")]
    out = []
    for subject in generator.integers(0, 2, lines).tolist():
        words = [*generator.choice(subjects[subject], 6), *generator.choice(["the", "of", "and"], 2)]
        label = [f"__label__{subject}"] if labelled else []
        out.append(" ".join([*label, *generator.permutation(words)]))
    return "\n".join(out) + "\n"
