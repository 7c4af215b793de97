"""Values of metrics as CloudWatch keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from optml.local.control.database import Database

TRAINING = "/aws/sagemaker/TrainingJobs"


class Sample(NamedTuple):
    """Values of one time: how many, their sum, the least, the largest."""

    time: float
    number: float
    total: float
    low: float
    high: float
    unit: str


def samples(database: Database, namespace: str, name: str, dimensions: Mapping[str, str]) -> list[Sample]:
    """In the order of their times."""
    if namespace == TRAINING:
        job = dimensions.get("TrainingJobName", "")
        rows = database.rows(
            "SELECT time, value FROM metrics WHERE job = ? AND name = ? ORDER BY time", (job, name)
        )
        return [Sample(when, 1, value, value, value, "None") for when, value in rows]
    rows = database.rows(
        "SELECT time, count, total, low, high, unit FROM datapoints"
        " WHERE namespace = ? AND name = ? AND dimensions = ? ORDER BY time",
        (namespace, name, key(dimensions)),
    )
    return [Sample(*row) for row in rows]


def key(dimensions: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(dimensions.items())))


def put(
    database: Database, namespace: str, name: str, dimensions: Mapping[str, str], found: Iterable[Sample]
) -> None:
    rows = [(namespace, name, key(dimensions), *sample) for sample in found]
    with database.write() as connection:
        connection.executemany("INSERT INTO datapoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
