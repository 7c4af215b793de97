"""A whole job in this process: the training loop with its early stopping, on arrays in memory."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.linear_learner import ALGORITHM
from optml.algorithms.linear_learner.model import Model
from optml.container.checkpoint import Checkpoints
from optml.container.group import Alone
from optml.container.loop import Loop, Plan
from optml.container.reporting import Handler, Report
from optml.container.stop import Stop
from optml.formats.records import Records

Pair = tuple[Any, np.ndarray]  # features (n, d) float32, dense or csr_array; labels (n,)


@dataclass(frozen=True)
class Batches:
    """The rows of a channel in their order (`algorithms.sources.Data`)."""

    pair: Pair
    size: int

    def epoch(self, number: int) -> Iterator[Records]:
        features, labels = self.pair
        whole = Records(features, np.asarray(labels, np.float64)[:, None])
        for start in range(0, len(whole), self.size):
            yield whole[start : start + self.size]


@dataclass(frozen=True)
class Trained:
    """model, and the last value of every metric by its name."""

    model: Model
    metrics: dict[str, float]


def fit(
    train: Pair, validation: Pair | None = None, test: Pair | None = None, **hyperparameters: Any
) -> Trained:
    """The model that a job with these hyperparameters leaves."""
    setting = ALGORITHM.hyperparameters(**hyperparameters)
    size = setting.mini_batch_size  # type: ignore[attr-defined]
    epochs = setting.epochs  # type: ignore[attr-defined]
    validation_batches = {} if validation is None else {"validation": Batches(validation, size)}
    plan = Plan(
        Batches(train, size),
        validation_batches,
        {} if test is None else {"test": Batches(test, size)},
        epochs=epochs,
        final=validation_batches,
        checkpoint_every=1e9,
    )
    published: list[Any] = []
    handler = Handler(io.StringIO())
    report = Report(ALGORITHM, handler, host="algo-1", leader=True, epochs=epochs, began=time.time())
    channels = ("train", *validation_batches, *plan.test)
    with TemporaryDirectory() as scratch:
        Loop(
            ALGORITHM.training.learner(Setting(setting, Alone(), channels=channels)),
            plan,
            cluster=Alone(),
            report=report,
            checkpoints=Checkpoints(None, Path(scratch), name="linear", fingerprint=""),
            stop=Stop(),
            publish=published.append,
        ).run()
    return Trained(published[0], dict(report.last))
