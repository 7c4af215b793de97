"""Short ways to train K-Means in tests, and the county data of section (i) of the specification."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.kmeans import ALGORITHM
from optml.algorithms.kmeans.learner import Learner
from optml.algorithms.kmeans.model import Model
from optml.algorithms.metrics import Metric
from optml.container.group import Alone
from optml.formats.records import Records
from tests.shared import SHARED

COUNTIES = "data/us_census_county/acs2015_county_data.csv.gz"


def learner(
    width: int,
    *,
    seed: int = 0,
    cluster: Cluster | None = None,
    warm_start: Path | None = None,
    **hyperparameters: Any,
) -> Learner:
    return Learner(
        Setting(
            ALGORITHM.hyperparameters(feature_dim=width, **hyperparameters),
            cluster or Alone(),
            "cpu",
            seed,
            warm_start,
        )
    )


def batches(rows: np.ndarray, size: int) -> Iterator[Records]:
    for start in range(0, len(rows), size):
        yield Records(rows[start : start + size])


def absorb(state: Learner, rows: np.ndarray) -> None:
    for _ in range(state.hyperparameters.epochs):
        for batch in batches(rows, state.hyperparameters.mini_batch_size):
            state.update(batch)
        state.end_round()


def fit(rows: np.ndarray, *, seed: int = 0, **hyperparameters: Any) -> tuple[Model, dict[str, float]]:
    """The model of these rows, and its metrics, those of the rows as test channel among them."""
    state = learner(rows.shape[1], seed=seed, **hyperparameters)
    absorb(state, rows)
    model, metrics = state.finish()
    return model, values([*metrics, *state.evaluate("test", batches(rows, 5000))])


def values(metrics: list[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def counties() -> np.ndarray:
    """3,218 counties on the 7 leading components of their 34 scaled columns: (3218, 7) float32."""
    with gzip.open(SHARED / COUNTIES, "rt") as file:
        table = list(csv.DictReader(file))
    complete = [row for row in table if all(value != "" for value in row.values())]
    columns = [name for name in table[0] if name not in ("CensusId", "State", "County")]
    raw = np.array([[float(row[name]) for name in columns] for row in complete])
    scaled = (raw - raw.min(axis=0)) / (raw.max(axis=0) - raw.min(axis=0))
    centered = scaled - scaled.mean(axis=0)
    _, _, directions = np.linalg.svd(centered, full_matrices=False)
    return (centered @ directions[:7].T).astype(np.float32)
