"""Training in this process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar.data import data
from optml.algorithms.metrics import Metric
from tests.algorithms.forecasting_deepar.sample import channel, setting

torch = pytest.importorskip("torch")

from optml.algorithms.forecasting_deepar.learner import Learner  # noqa: E402


def train(
    records: list[dict[str, Any]], cluster: Cluster | None = None, epochs: int = 2, **given: Any
) -> tuple[Learner, list[Metric]]:
    made = setting(cluster, epochs=max(epochs, 1), **given)
    source = data(channel(*records), made)
    learner = Learner(replace(made, train=source))
    metrics: list[Metric] = []
    for epoch in range(epochs):
        for draw in source.epoch(epoch):
            metrics += learner.update(draw)
        metrics += learner.end_round()
    return learner, metrics
