"""Random search: independent draws, each told by the job's seed and the trial's number alone."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from optml.local.tuning.definition import Definition

TRIES = 10  # draws of a point that was not there before; small grids of integers run out of them


Point = Mapping[str, str]


def draw(definition: Definition, points: Iterable[Point], seed: int, number: int) -> dict[str, str]:
    """The point of trial `number`, uniform on the scales of the ranges, and none of `points` where that can
    be had in a few tries.

    It hangs on no other draw, so trials that ended otherwise, or in another order, leave it as it is.
    """
    known = set(map(key, points))
    point: dict[str, str] = {}
    for attempt in range(TRIES):
        source = random.Random(f"{seed}/{number}/{attempt}")  # noqa: S311  # a search, no secret
        point = {span.name: span.at(source.random()) for span in definition.ranges}
        if key(point) not in known:
            break
    return point


def key(point: Point) -> tuple[tuple[str, str], ...]:
    """What makes a point the same as another."""
    return tuple(sorted(point.items()))
