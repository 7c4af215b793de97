"""Metrics of training jobs: read out of log lines by regular expressions, as the lines appear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from optml.local.control.database import Database
from optml.local.tuning.objective import Patterns

Value = tuple[str, str, str, int, float, float]  # job, metric, host, line, time, value


class Reader:
    """Finds the values of one job's metrics in its lines."""

    def __init__(self, job: str, definitions: Sequence[Mapping[str, str]]) -> None:
        self._job = job
        self._patterns = Patterns({item["Name"]: item["Regex"] for item in definitions})

    def read(self, host: str, number: int, time: float, line: str) -> Iterable[Value]:
        """The values in one line: of each metric the first group."""
        for name, value in self._patterns.values(line):
            yield self._job, name, host, number, time, value


def store(values: Sequence[Value], database: Database) -> None:
    """Keep values; those of a line that was read before are kept once."""
    if values:
        with database.write() as connection:
            connection.executemany("INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?, ?, ?)", values)


def values(job: str, database: Database) -> list[tuple[str, float, float]]:
    """(metric, time, value) in the order of their times."""
    found: list[tuple[str, float, float]] = database.rows(
        "SELECT name, time, value FROM metrics WHERE job = ? ORDER BY time, host, line", (job,)
    )
    return found


def final(job: str, database: Database) -> list[dict[str, object]]:
    """Of each metric the last value, as a description has them."""
    last = {name: (time, value) for name, time, value in values(job, database)}
    return [
        {"MetricName": name, "Value": value, "Timestamp": time}
        for name, (time, value) in sorted(last.items())
    ]
