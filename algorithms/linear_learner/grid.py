"""Which models are trained side by side: the user's own, and close variants of it.

The first model has exactly the given hyperparameters, `auto` standing for the reference below. The others
vary what was left at auto: learning rate, penalties and schedule, on a grid of 32 points; more than that are
drawn at random. A grid point that gives the same model as one before it is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters

AUTO_MODELS = 32
RATES = {"adam": (0.1, 0.005), "sgd": (0.1, 0.01), "rmsprop": (0.01, 0.001)}  # the reference first
PENALTIES = ((1e-4, 0.0), (1e-2, 0.0), (1e-5, 1e-4), (1e-3, 1e-3))  # wd, l1
SCHEDULES = ((100, 0.99, 1e-5), (10, 0.99, 1e-4), (10, 0.98, 1e-5), (100, 0.9, 1e-5))  # step, factor, minimum
# Bounds of the log-uniform distributions of what is drawn beyond the grid.
RANDOM_RATES = (1e-4, 0.5)
RANDOM_WD = (1e-7, 1e-1)
RANDOM_L1 = (1e-7, 1e-2)


@dataclass(frozen=True, slots=True)
class Point:
    """What models differ in, in the order in which AWS's log prints it. balanced: do positive rows weigh as
    much as all negative ones (`positive_example_weight_mult=auto`)?"""

    optimizer: str
    learning_rate: float
    l1: float
    wd: float
    lr_scheduler_step: int
    lr_scheduler_factor: float
    lr_scheduler_minimum_lr: float
    balanced: bool = False

    def describe(self) -> dict[str, Any]:
        """As the line `Best model found for hyperparameters` gives it."""
        return {name: value for name, value in asdict(self).items() if name != "balanced"}


def points(hyperparameters: Hyperparameters, *, tuned: bool, seed: int) -> list[Point]:
    """The models of a job: at least one, at most num_models. In a tuning job one."""
    num_models = hyperparameters.num_models
    count = 1 if tuned else AUTO_MODELS if num_models == "auto" else num_models
    models = list(itertools.islice(_grid(hyperparameters), count))
    if num_models != "auto":
        models += _random_points(hyperparameters, count - len(models), seed)
    if hyperparameters.positive_example_weight_mult == "auto" and _binary(hyperparameters) and count > 1:
        if len(models) == 1:
            models *= 2
        models = [_balance(point) if place % 2 else point for place, point in enumerate(models)]
    return models


def _binary(hyperparameters: Hyperparameters) -> bool:
    return hyperparameters.predictor_type == "binary_classifier"


def _balance(point: Point) -> Point:
    return Point(**(asdict(point) | {"balanced": True}))


def _grid(hyperparameters: Hyperparameters) -> Iterator[Point]:
    """The distinct points of the grid, the reference first."""
    rates = RATES[_optimizer(hyperparameters)]
    earlier = set()
    for rate, penalties, schedule in itertools.product(rates, PENALTIES, SCHEDULES):
        point = _point(hyperparameters, rate, penalties, schedule)
        if point not in earlier:
            earlier.add(point)
            yield point


def _random_points(hyperparameters: Hyperparameters, count: int, seed: int) -> list[Point]:
    """Points beyond the grid; none where nothing is left to draw."""
    ranges = (hyperparameters.learning_rate, hyperparameters.wd, hyperparameters.l1)
    if "auto" not in ranges:
        return []
    generator = np.random.default_rng((seed, 0))
    models = []
    for _ in range(max(count, 0)):
        rate, wd, l1 = (
            float(np.exp(generator.uniform(*np.log(bounds))))
            for bounds in (RANDOM_RATES, RANDOM_WD, RANDOM_L1)
        )
        schedule = SCHEDULES[generator.integers(len(SCHEDULES))]
        models.append(_point(hyperparameters, rate, (wd, l1), schedule))
    return models


def _point(
    hyperparameters: Hyperparameters,
    rate: float,
    penalties: tuple[float, float],
    schedule: tuple[int, float, float],
) -> Point:
    """The given hyperparameters, and these where they are auto."""

    def resolve(value: Any, otherwise: Any) -> Any:
        return otherwise if value == "auto" else value

    if not hyperparameters.use_lr_scheduler:
        schedule = SCHEDULES[0]  # of no account, so it makes no difference between models
    return Point(
        _optimizer(hyperparameters),
        resolve(hyperparameters.learning_rate, rate),
        resolve(hyperparameters.l1, penalties[1]),
        resolve(hyperparameters.wd, penalties[0]),
        resolve(hyperparameters.lr_scheduler_step, schedule[0]),
        resolve(hyperparameters.lr_scheduler_factor, schedule[1]),
        resolve(hyperparameters.lr_scheduler_minimum_lr, schedule[2]),
    )


def _optimizer(hyperparameters: Hyperparameters) -> str:
    return "adam" if hyperparameters.optimizer == "auto" else hyperparameters.optimizer
