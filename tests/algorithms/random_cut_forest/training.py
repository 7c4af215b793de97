"""Short ways to train Random Cut Forest in tests, and the series of section (i) of the specification."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.random_cut_forest import ALGORITHM
from optml.algorithms.random_cut_forest.learner import Learner
from optml.algorithms.random_cut_forest.model import Model
from optml.container.group import Alone
from optml.formats.records import Records
from tests.shared import SHARED

ELB = "data/nab_elb/elb_request_count_8c0756.csv"
SERIES = "data/nab/series.zip"
TAXI = "realKnownCause/nyc_taxi.csv"


def learner(
    width: int,
    *,
    seed: int = 0,
    cluster: Cluster | None = None,
    tuned: str | None = None,
    **hyperparameters: Any,
) -> Learner:
    return Learner(
        Setting(
            ALGORITHM.hyperparameters(feature_dim=width, **{"num_trees": 50, **hyperparameters}),
            cluster or Alone(),
            "cpu",
            seed,
            tuned=tuned,
        )
    )


def batches(rows: np.ndarray, labels: np.ndarray | None = None, size: int = 1000) -> Iterator[Records]:
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        yield Records(rows[part], None if labels is None else labels[part, None].astype(np.float64))


def absorb(state: Learner, rows: np.ndarray) -> Learner:
    for batch in batches(rows):
        state.update(batch)
    state.end_round()
    return state


def fit(rows: np.ndarray, **hyperparameters: Any) -> Model:
    return absorb(learner(rows.shape[1], **hyperparameters), rows).finish()[0]


def elb() -> np.ndarray:
    """Requests through a load balancer, one feature: (4032, 1) float32."""
    with (SHARED / ELB).open() as file:
        return np.array([[float(row["value"])] for row in csv.DictReader(file)], np.float32)


def taxi() -> tuple[np.ndarray, np.ndarray, int]:
    """Taxi passengers in New York as windows of 48 half hours (n, 48) float32; for each the number of the
    labelled anomaly that its last value lies in, or -1 (n,); how many anomalies there are."""
    with zipfile.ZipFile(SHARED / SERIES) as archive, archive.open(TAXI) as file:
        table = list(csv.DictReader(io.TextIOWrapper(file)))
    spans = json.loads((SHARED / "data/nab/combined_windows.json").read_text())[TAXI]
    values = np.array([float(row["value"]) for row in table], np.float32)
    within = np.full(len(table), -1)
    for number, (start, stop) in enumerate(spans):
        within[[start[:19] <= row["timestamp"] <= stop[:19] for row in table]] = number
    windows = np.lib.stride_tricks.sliding_window_view(values, 48)
    return np.ascontiguousarray(windows), within[47:], len(spans)
