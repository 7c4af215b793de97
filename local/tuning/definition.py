"""A tuning job as its request defines it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from optml.local.tuning.ranges import Range

Strategy = Literal["Bayesian", "Random", "Grid", "Hyperband"]
WarmStart = Literal["IdenticalDataAndAlgorithm", "TransferLearning"]

OBJECTIVE = "_tuning_objective_metric"  # the hyperparameter that tells every job its metric


@dataclass(frozen=True, slots=True)
class Objective:
    """The metric that the job goes by."""

    metric: str
    maximize: bool = False

    def better(self, one: float, other: float) -> bool:
        return one > other if self.maximize else one < other

    def loss(self, value: float) -> float:
        """The value as something to make small."""
        return -value if self.maximize else value

    @property
    def type(self) -> Literal["Maximize", "Minimize"]:
        return "Maximize" if self.maximize else "Minimize"

    @property
    def worst(self) -> float:
        return -math.inf if self.maximize else math.inf


@dataclass(frozen=True, slots=True)
class Definition:
    """One algorithm of the job: what of it is varied, and what is not.

    name:    DefinitionName; "" where there is one definition alone.
    image:   TrainingImage.   slug: of our algorithm; None: an image of somebody else's.
    static:  hyperparameters of every trial, `_tuning_objective_metric` among them.
    metrics: MetricDefinitions, name -> regular expression; an algorithm of ours has its own.
    retries: how many times a trial that failed through no fault of its own starts again.
    epochs:  how many values of the objective a job emits by itself, at most; None: not known.
    """

    objective: Objective
    ranges: tuple[Range, ...]
    static: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    image: str = ""
    slug: str | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    retries: int = 0
    epochs: int | None = None

    def hyperparameters(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """What a trial's job is handed: the static ones and its own."""
        return {**self.static, **parameters}


@dataclass(frozen=True, slots=True)
class Resource:
    """Of Hyperband: the values of the objective after which a job is first judged, and at most has."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Tuning:
    """A tuning job.

    max_jobs:      trials, at most; None: as many as the other criteria allow.
    parallel:      so many trials run at once.
    seconds:       the job's run time, at most.
    early_stopping: the median rule.
    target:        the job is done at a value as good as this.
    not_improving: the job is done when so many trials in a row were not better than the best.
    convergence:   the job is done when more trials promise nothing.
    resource:      of strategy Hyperband.
    seed:          RandomSeed, or what the job's name yields.
    warm_start:    how parents' trials count; None: there are no parents.
    notices:       what the user should hear of: scales chosen, names that AWS would refuse, fields ignored.
    """

    definitions: tuple[Definition, ...]
    strategy: Strategy = "Bayesian"
    name: str = ""
    max_jobs: int | None = None
    parallel: int = 1
    seconds: int | None = None
    early_stopping: bool = False
    target: float | None = None
    not_improving: int | None = None
    convergence: bool = False
    resource: Resource | None = None
    seed: int = 0
    warm_start: WarmStart | None = None
    parents: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def definition(self, name: str) -> Definition:
        """By its DefinitionName. Raises KeyError."""
        for definition in self.definitions:
            if definition.name == name:
                return definition
        raise KeyError(name)

    @property
    def maximize(self) -> bool:
        """All definitions of a job have one direction."""
        return self.definitions[0].objective.maximize
