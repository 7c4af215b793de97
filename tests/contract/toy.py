"""An algorithm of ten lines for tests of the loop, and a way to run it as a real process.

Its state depends on every batch and on their order, so a batch lost or taken twice shows. `python -m
tests.contract.toy` is the program `train` with this algorithm added.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from optml.algorithms import registry
from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, ChannelSpec, Hyperparameters, Inference, Roles, Setting, Training
from optml.algorithms.metrics import Metric, MetricSpec
from optml.errors import UserError
from optml.formats.records import Columns


class ToyHyperparameters(Hyperparameters):
    epochs: int = Field(1, ge=1)
    mini_batch_size: int = Field(2, ge=1)
    pause: float = Field(0.0, ge=0, description="seconds that an update takes")
    fail_at: int = Field(0, ge=0, description="the update, from 1, that fails on the last host")
    patience: int = Field(0, ge=0)
    round: int = Field(0, ge=0)


@dataclass
class Numbers:
    """Numbers, one a line, from a channel or given; dealt out to the hosts batch by batch."""

    channel: Any
    size: int
    rank: int = 0
    hosts: int = 1

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        numbers = []
        for source, stream in self.channel.streams():
            for line, text in enumerate(stream.read().split(), start=1):
                try:
                    numbers.append(float(text))
                except ValueError:
                    raise UserError(f"line {line} of {source} is {text.decode()!r}, not a number") from None
        for index, start in enumerate(range(0, len(numbers), self.size)):
            if index % self.hosts == self.rank:
                yield np.array(numbers[start : start + self.size])


class Patience:
    """Stop after `patience` values that are no smaller than the best."""

    def __init__(self, patience: int) -> None:
        self.patience, self.best, self.stale = patience, np.inf, 0

    def update(self, value: float) -> Literal["best", "stale", "stop"]:
        if value < self.best:
            self.best, self.stale = value, 0
            return "best"
        self.stale += 1
        return "stop" if self.stale >= self.patience else "stale"

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"state": np.array([self.best, self.stale])}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.best, self.stale = float(state["state"][0]), int(state["state"][1])


@dataclass
class ToyModel:
    state: float
    width: int | None = None

    def predict(self, batch: Any, options: Mapping[str, str]) -> Columns:
        return {"score": np.zeros(len(batch))}

    def save(self, folder: Path) -> None:
        (folder / "weights").write_text(repr(self.state))
        (folder / "model.json").write_text(json.dumps({"algorithm": "toy"}))


class ToyLearner:
    lockstep = True

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.round = setting.hyperparameters.round or None
        self.state = 0.0
        self.count = 0
        self.rounds = 0
        if setting.warm_start:
            self.state = float((setting.warm_start / "weights").read_text())

    def update(self, batch: np.ndarray | None) -> Iterable[Metric]:
        parameters = self.setting.hyperparameters
        time.sleep(parameters.pause)
        self.count += 1
        if self.count == parameters.fail_at and self.setting.cluster.rank == self.setting.cluster.size - 1:
            raise ZeroDivisionError("as asked")
        total = np.array([0.0 if batch is None else batch.sum()])
        self.setting.cluster.all_sum(total)
        self.state = 0.9 * self.state + float(total[0])
        return []

    def end_round(self) -> Iterable[Metric]:
        self.rounds += 1
        return [Metric("train:state", self.state)]

    def evaluate(self, channel: str, batches: Iterable[np.ndarray]) -> Iterable[Metric]:
        target = sum(float(batch.sum()) for batch in batches)
        return [Metric(f"{channel}:loss", abs(self.state - target))]

    def stopping(self) -> tuple[Patience, str] | None:
        patience = self.setting.hyperparameters.patience
        return (Patience(patience), "validation:loss") if patience else None

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"state": np.array(self.state), "counts": np.array([self.count, self.rounds])}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self.state = float(state["state"])
        self.count, self.rounds = state["counts"].tolist()

    def model(self) -> ToyModel | None:
        return ToyModel(self.state) if self.count else None

    def finish(self) -> tuple[ToyModel, Iterable[Metric]]:
        return ToyModel(self.state), [Metric("train:final", self.state)]


def recognises(folder: Path) -> bool:
    return (folder / "weights").exists()


def load(folder: Path, device: str) -> ToyModel:
    return ToyModel(float((folder / "weights").read_text()))


def data(channel: Any, setting: Setting) -> Numbers:
    dealt = channel.distribution == "FullyReplicated" and channel.name == "train"
    rank, hosts = (setting.cluster.rank, setting.cluster.size) if dealt else (0, 1)
    return Numbers(channel, setting.hyperparameters.mini_batch_size, rank, hosts)


ALGORITHM = Algorithm(
    slug="toy",
    title="Toy",
    task="nothing",
    hyperparameters=ToyHyperparameters,
    training=Training(
        channels=(
            ChannelSpec("train", "train", required=True, content_types=("text/csv",)),
            ChannelSpec("validation", "validation", content_types=("text/csv",)),
            ChannelSpec("test", "test", content_types=("text/csv",)),
        ),
        metrics=(
            MetricSpec("train:state", "#quality_metric: host={host}, epoch={epoch}, train state={value}"),
            MetricSpec("train:final", "#quality_metric: host={host}, train final={value}", "Minimize"),
            MetricSpec(
                "validation:loss", "#quality_metric: host={host}, validation loss={value}", "Minimize"
            ),
            MetricSpec("test:loss", "#quality_metric: host={host}, test loss <loss>={value}", "Minimize"),
        ),
        roles=Roles(epochs="epochs", batch_size="mini_batch_size"),
        learner=ToyLearner,
        data=data,
        logged_as="AWS/Toy",
    ),
    inference=Inference(
        content_types=("text/csv",),
        accepts=("application/json",),
        response=Response(),
        load=load,
        recognises=recognises,
    ),
)


if __name__ == "__main__":
    from optml.container.__main__ import train

    registry.MODULES["toy"] = "tests.contract.toy"
    os.environ.setdefault("OPTML_ALGORITHM", "toy")
    train()
