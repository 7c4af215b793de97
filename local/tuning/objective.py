"""Values of metrics, read out of log lines by regular expressions, as the lines appear."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

LEADER = "algo-1"  # the host that speaks for a job


class Patterns:
    """The metrics of a job: name -> regular expression, whose first group is the number. Expressions that do
    not compile, or have no group, read nothing."""

    def __init__(self, metrics: Mapping[str, str]) -> None:
        self._patterns = {
            name: pattern
            for name, text in metrics.items()
            if (pattern := _compiled(text)) is not None and pattern.groups
        }

    def values(self, line: str) -> Iterator[tuple[str, float]]:
        """The metrics that a line tells, with their values; those that are not finite are left out. A tab
        matches as itself and as the `#011` that CloudWatch shows in its place."""
        shown = line.replace("\t", "#011")
        for name, pattern in self._patterns.items():
            match = pattern.search(line) or (pattern.search(shown) if shown is not line else None)
            value = _number(match[1]) if match else None
            if value is not None:
                yield name, value


def _compiled(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text)
    except re.error:
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
