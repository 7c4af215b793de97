"""Grid search: every combination of the categories, each once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from optml.local.tuning.definition import Definition
from optml.local.tuning.draws import Point, key
from optml.local.tuning.ranges import Categorical


def point(definition: Definition, points: Iterable[Point]) -> dict[str, str] | None:
    """The first combination that is not there yet, the last hyperparameter varying fastest; None: all are."""
    known = set(map(key, points))
    spans = [span for span in definition.ranges if isinstance(span, Categorical)]
    for values in itertools.product(*(span.values for span in spans)):
        candidate = {span.name: value for span, value in zip(spans, values, strict=True)}
        if key(candidate) not in known:
            return candidate
    return None
