"""A tuning job as its request and its training jobs tell it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optml.local.control import arns
from optml.local.control.jobs import lifecycle
from optml.local.control.programs import slug_of, table
from optml.local.control.resources import Resource
from optml.local.control.tuning.children import Child, Children, resource_config
from optml.local.tuning import request as requests
from optml.local.tuning.completion import not_improving
from optml.local.tuning.definition import Tuning
from optml.local.tuning.description import best_trial, counters, summary
from optml.local.tuning.tables import Table
from optml.local.tuning.trials import Parent, Trial

if TYPE_CHECKING:
    from optml.local.control.context import Context

KIND = "HyperParameterTuningJob"


def table_of(image: str) -> Table | None:
    """Of the algorithm that an image is named after."""
    slug = slug_of(image)
    return table(slug) if slug is not None else None


def definitions(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The TrainingJobDefinitions of a request, which may have one alone."""
    return request.get("TrainingJobDefinitions") or [request["TrainingJobDefinition"]]


@dataclass(frozen=True, slots=True)
class TuningState:
    """A tuning job with its training jobs, at one moment."""

    job: Resource
    tuning: Tuning
    children: Sequence[Child]

    @classmethod
    def of(cls, context: Context, job: Resource) -> TuningState:
        tuning = requests.read(job.request, table_of, limits=False)
        return cls(job, tuning, Children(context.database, tuning).load())

    @property
    def trials(self) -> list[Trial]:
        return [child.trial for child in self.children]

    @property
    def best(self) -> Child | None:
        trial = best_trial(self.tuning, self.trials)
        return next((child for child in self.children if trial and child.trial.number == trial.number), None)

    def parents(self, context: Context) -> Iterator[TuningState]:
        for name in self.tuning.parents:
            job = context.resources.get(KIND, name)
            if job is not None:
                yield TuningState.of(context, job)

    def as_parent(self) -> Parent:
        return Parent(self.job.name, tuple(self.trials), self.tuning.definitions[0].static)

    def description(self, context: Context) -> dict[str, Any]:
        """What a Describe has beyond the request."""
        job = self.job
        end = job.state.get("HyperParameterTuningEndTime")
        content: dict[str, Any] = {
            **self.counters(),
            "ConsumedResources": {"RuntimeInSeconds": round((end or time.time()) - job.created)},
            "TuningJobCompletionDetails": {
                "NumberOfTrainingJobsObjectiveNotImproving": not_improving(self.tuning, self.trials),
                "ConvergenceDetectedTime": job.state.get("ConvergenceDetectedTime"),
            },
        }
        if self.best is not None:
            content["BestTrainingJob"] = self.summary(self.best)
        if self.tuning.warm_start is not None:
            content["OverallBestTrainingJob"] = self._overall(context)
        filled = [_filled(each, self.tuning, number) for number, each in enumerate(definitions(job.request))]
        if "TrainingJobDefinition" in job.request:
            content["TrainingJobDefinition"] = filled[0]
        else:
            content["TrainingJobDefinitions"] = filled
        return content

    def counters(self) -> dict[str, dict[str, int]]:
        return counters(self.trials)

    def summary(self, child: Child) -> dict[str, Any]:
        """A HyperParameterTrainingJobSummary."""
        content = summary(self.tuning.definition(child.trial.definition), child.trial)
        return content | {
            "TrainingJobName": child.job,
            "TrainingJobArn": child.arn or arns.arn("TrainingJob", child.job, self.job.arn.split(":")[3]),
            "TrainingJobStatus": child.status,
            "CreationTime": child.created or self.job.modified,
            "TrainingStartTime": child.started,
            "TrainingEndTime": child.trial.ended,
        }

    def _overall(self, context: Context) -> dict[str, Any] | None:
        """The best of this job, and of its parents where they have learnt from the same data."""
        states = [self]
        if self.tuning.warm_start == "IdenticalDataAndAlgorithm":
            states += self.parents(context)
        scored = [(state, state.best) for state in states]
        objective = self.tuning.definitions[0].objective
        ranked = sorted(
            ((state, child) for state, child in scored if child is not None),
            key=lambda pair: objective.loss(pair[1].trial.value or 0.0),
        )
        if not ranked:
            return None
        state, child = ranked[0]
        return {**state.summary(child), "TuningJobName": state.job.name}


def _filled(content: Mapping[str, Any], tuning: Tuning, number: int) -> dict[str, Any]:
    """A definition as the service shows it: with what it has added."""
    definition = tuning.definitions[number]
    metrics = [{"Name": name, "Regex": regex} for name, regex in definition.metrics.items()]
    return {
        **content,
        "StaticHyperParameters": dict(definition.static),
        "ResourceConfig": resource_config(content),
        "AlgorithmSpecification": {**content["AlgorithmSpecification"], "MetricDefinitions": metrics},
    }


def ended(job: Resource) -> bool:
    return job.status in lifecycle.ENDED
