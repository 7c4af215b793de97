"""Random search: independent draws, each told by the job's seed and the trial's number alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from optml.local.tuning.definition import Definition
from optml.local.tuning.trials import Trial

TRIES = 10  # draws of a point that was not there before; small grids of integers run out of them


def draw(definition: Definition, trials: Sequence[Trial], seed: int, number: int) -> dict[str, str]:
    """The point of trial `number`, uniform on the scales of the ranges, and new among `trials` where that
    can be had in a few tries.

    It hangs on no other draw, so trials that ended otherwise, or in another order, leave it as it is.
    """
    known = {tuple(sorted(trial.parameters.items())) for trial in trials}
    point: dict[str, str] = {}
    for attempt in range(TRIES):
        source = random.Random(f"{seed}/{number}/{attempt}")  # noqa: S311  # a search, no secret
        point = {span.name: span.at(source.random()) for span in definition.ranges}
        if tuple(sorted(point.items())) not in known:
            break
    return point
