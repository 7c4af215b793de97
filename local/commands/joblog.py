"""The log of a training job, read as it comes: progress, warnings, metrics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from optml.algorithms.metrics import MetricSpec
from optml.local.describe import regex

_PROGRESS = re.compile(r"#progress_metric: host=\S+, completed (\S+) % (?:of )?epochs")
_RECORDS = re.compile(r'#metrics .*"Max Records Seen Between Resets": \{"sum": ([0-9.]+)')
_WARNING = re.compile(r"\[[^\]]* WARNING [^\]]*\] (.*)")


@dataclass
class JobLog:
    """What has been read of a log so far.

    values: metric name -> every value that its published regular expression has found, in order.
    done:   percent of the epochs, 0 to 100.
    records: of the training data, in the longest pass over them; 0: not told.
    """

    metrics: Sequence[MetricSpec]
    values: dict[str, list[float]] = field(default_factory=dict)
    done: float = 0.0
    records: int = 0

    def __post_init__(self) -> None:
        self._patterns = [(spec.name, re.compile(regex(spec))) for spec in self.metrics if spec.line]

    def read(self, line: str) -> str | None:
        """Take in one line; returns what a person should see of it at once: the text of a warning."""
        for name, pattern in self._patterns:
            if (match := pattern.search(line)) and (value := _number(match[1])) is not None:
                self.values.setdefault(name, []).append(value)
        if (match := _PROGRESS.search(line)) and (value := _number(match[1])) is not None:
            self.done = value
        if "training_data_iter" in line and (match := _RECORDS.match(line)):
            self.records = int(float(match[1]))
        warning = _WARNING.match(line)
        return warning[1] if warning else None

    def final(self) -> dict[str, float]:
        """The metrics as the service reports them: of each the last value. Progress is not one to show."""
        return {name: values[-1] for name, values in self.values.items() if not name.endswith(":progress")}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
