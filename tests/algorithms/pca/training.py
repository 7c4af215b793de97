"""Short ways to train PCA in tests, and the county data of section (i) of the specification."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.metrics import Metric
from optml.algorithms.pca import ALGORITHM
from optml.algorithms.pca.learner import Learner
from optml.algorithms.pca.model import Model
from optml.container.group import Alone
from optml.formats.records import Records
from tests.shared import SHARED

COUNTIES = "data/us_census_county/acs2015_county_data.csv.gz"


def learner(width: int, *, cluster: Cluster | None = None, **hyperparameters: Any) -> Learner:
    return Learner(
        Setting(
            ALGORITHM.hyperparameters(feature_dim=width, **({"mini_batch_size": 500} | hyperparameters)),
            cluster or Alone(),
        )
    )


def batches(rows: Any, size: int = 1000) -> Iterator[Records]:
    for start in range(0, rows.shape[0], size):
        yield Records(rows[start : start + size])


def absorb(state: Learner, rows: Any, size: int = 1000) -> None:
    for batch in batches(rows, size):
        state.update(batch)
    state.end_round()


def fit(rows: Any, *, size: int = 1000, **hyperparameters: Any) -> tuple[Model, dict[str, float]]:
    """The model of these rows, and its metrics, those of the rows as test channel among them."""
    state = learner(rows.shape[1], **hyperparameters)
    absorb(state, rows, size)
    model, metrics = state.finish()
    return model, values([*metrics, *state.evaluate("test", batches(rows))])


def values(metrics: list[Metric]) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics}


def singular_values(rows: np.ndarray, count: int, *, centered: bool = True) -> np.ndarray:
    """The largest ones, ascending, of the rows in float64."""
    exact = rows.astype(np.float64)
    if centered:
        exact -= exact.mean(axis=0)
    short = exact if len(exact) < exact.shape[1] else exact.T
    return np.sqrt(np.linalg.eigvalsh(short @ short.T)[-count:].clip(min=0))


def share_of_variance(model: Model, rows: np.ndarray) -> float:
    """The share of the rows' variance along the model's directions."""
    centered = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    return float(np.square(centered @ model.v).sum() / np.square(centered).sum())


def spread(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Rows whose principal components are well apart, around a mean of 2."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(width, width)))
    return ((rng.normal(size=(rows, width)) * np.arange(1, width + 1) ** -0.7) @ turn + 2).astype(np.float32)


def counties() -> np.ndarray:
    """3,218 counties, their 34 columns scaled to [0, 1]: (3218, 34) float32."""
    with gzip.open(SHARED / COUNTIES, "rt") as file:
        table = list(csv.DictReader(file))
    complete = [row for row in table if all(value != "" for value in row.values())]
    columns = [name for name in table[0] if name not in ("CensusId", "State", "County")]
    raw = np.array([[float(row[name]) for name in columns] for row in complete])
    return ((raw - raw.min(axis=0)) / (raw.max(axis=0) - raw.min(axis=0))).astype(np.float32)
