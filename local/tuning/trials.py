"""Trials: the training jobs of a tuning job, with what has been measured of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from optml.local.tuning.definition import Objective

Status = Literal["InProgress", "Completed", "Stopped", "Failed"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The hyperparameters of a trial that is to come.

    number:     its place in the job, from 1: the three digits of its name.
    definition: DefinitionName.
    parameters: the tuned hyperparameters, name -> text; `Definition.hyperparameters` adds the static ones.
    """

    number: int
    definition: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as it stands.

    values: of the objective, in the order in which the log had them; the n-th is that of resource n.
    status: of its training job; Stopping counts as InProgress.
    ended:  when, in seconds since the epoch; None: it runs. Trials are counted in the order of their ends.
    reason: FailureReason.
    """

    number: int
    parameters: Mapping[str, str]
    status: Status = "InProgress"
    values: tuple[float, ...] = ()
    definition: str = ""
    ended: float | None = None
    reason: str = field(default="", compare=False)

    @property
    def value(self) -> float | None:
        """What the trial counts with once it has ended: the last value; None: it failed, runs or had none."""
        return self.values[-1] if self.values and self.status in ("Completed", "Stopped") else None

    @property
    def running(self) -> bool:
        return self.status == "InProgress"

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Trial:
        return cls(**{**content, "values": tuple(content.get("values", ()))})


@dataclass(frozen=True, slots=True)
class Parent:
    """An earlier tuning job whose trials a warm start begins with. static: its own StaticHyperParameters."""

    name: str
    trials: tuple[Trial, ...]
    static: Mapping[str, str] = field(default_factory=dict)


def pending(proposal: Proposal) -> Trial:
    """The trial that a proposal becomes as it starts."""
    return Trial(proposal.number, proposal.parameters, definition=proposal.definition)


def best(trials: Iterable[Trial], objective: Objective) -> Trial | None:
    """The trial with the best value, of equal ones the first; None: none has a value yet."""
    scored = [trial for trial in trials if trial.value is not None]
    return min(scored, key=lambda trial: (objective.loss(trial.value or 0.0), trial.number), default=None)


def in_order(trials: Iterable[Trial]) -> list[Trial]:
    """Those that have ended, in the order of their ends."""
    ended = [trial for trial in trials if not trial.running]
    return sorted(ended, key=lambda trial: (trial.ended or 0.0, trial.number))
