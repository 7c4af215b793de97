"""Pairs, settings and training in this process, for the tests of Object2Vec."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric
from optml.container.group import Alone
from tests.algorithms.forecasting_deepar.sample import Channel, channel

torch = pytest.importorskip("torch")

from optml.algorithms.object2vec.data import data  # noqa: E402
from optml.algorithms.object2vec.hyperparameters import Hyperparameters  # noqa: E402
from optml.algorithms.object2vec.learner import Learner  # noqa: E402

SMALL = {
    "enc0_max_seq_len": 8,
    "enc0_vocab_size": 30,
    "enc0_network": "pooled_embedding",
    "enc0_token_embedding_dim": 6,
    "enc_dim": 6,
    "mlp_dim": 5,
    "mlp_layers": 1,
    "mini_batch_size": 8,
    "epochs": 2,
    "learning_rate": 0.01,
}


def hyperparameters(**changes: Any) -> Hyperparameters:
    return Hyperparameters.model_validate(SMALL | changes)


def pairs(count: int = 40, seed: int = 0, classes: int = 2) -> list[dict[str, Any]]:
    """Labelled by whether, or how many times, in1 holds the first token of in0."""
    rng = np.random.default_rng(seed)
    records = []
    for _ in range(count):
        first, second = (rng.integers(1, 30, rng.integers(1, 8)).tolist() for _ in range(2))
        label = int(rng.integers(0, classes))
        second += [first[0]] * label
        records.append({"label": label, "in0": first, "in1": second})
    return records


def setting(cluster: Cluster | None = None, **changes: Any) -> Setting:
    """changes: hyperparameters, and what else a setting has."""
    others = {name: changes.pop(name) for name in ("warm_start", "auxiliary", "channels") if name in changes}
    return Setting(hyperparameters(**changes), cluster or Alone(), **others)


def train(
    records: list[dict[str, Any]], cluster: Cluster | None = None, epochs: int = 2, **changes: Any
) -> tuple[Learner, list[Metric]]:
    """The learner after some epochs, and all metrics."""
    made = setting(cluster, **changes)
    source = data(channel(*records), made)
    learner = Learner(replace(made, train=source))
    return learner, go_on(learner, source, range(epochs))


def go_on(learner: Learner, source: Any, epochs: range) -> list[Metric]:
    metrics: list[Metric] = []
    for epoch in epochs:
        batches = list(source.epoch(epoch))
        longest = learner.cluster.gather(np.array([len(batches)]))
        for number in range(max(int(count[0]) for count in longest)):
            metrics += learner.update(batches[number] if number < len(batches) else None)
        metrics += learner.end_round()
    return metrics


__all__ = ["Channel", "channel", "data", "go_on", "hyperparameters", "pairs", "setting", "train"]
