"""The training jobs of a tuning job: what each is asked for, and how each stands."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optml.local.control.database import Database
from optml.local.control.resources import Resource
from optml.local.tuning.definition import Definition, Tuning
from optml.local.tuning.objective import LEADER
from optml.local.tuning.trials import Proposal, Status, Trial

_STATUSES: dict[str, Status] = {"Completed": "Completed", "Stopped": "Stopped", "Failed": "Failed"}
_CHILDREN = (
    "SELECT trials.number, trials.job, trials.definition, trials.parameters,"
    " resources.arn, resources.status, resources.created, resources.state"
    " FROM trials LEFT JOIN resources ON resources.kind = 'TrainingJob' AND resources.name = trials.job"
    " WHERE trials.tuning = ? AND trials.number > ? ORDER BY trials.number"
)
_VALUES = "SELECT host, value FROM metrics WHERE job = ? AND name = ? ORDER BY time, line"

# What a definition and a training job's request have in common.
_SHARED = (
    "RoleArn", "InputDataConfig", "OutputDataConfig", "StoppingCondition", "VpcConfig", "Environment",
    "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining",
    "RetryStrategy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Child:
    """job: the training job's name.   arn: None where it was chosen and is not created yet.   Times are
    seconds since 1970."""

    trial: Trial
    job: str
    arn: str | None = None
    created: float = 0.0
    started: float | None = None
    status: str = "InProgress"


class Children:
    """Those of one tuning job. What has ended is read once."""

    def __init__(self, database: Database, tuning: Tuning) -> None:
        self._database = database
        self._tuning = tuning
        self._ended: list[Child] = []  # the first ones, without a gap

    def load(self) -> list[Child]:
        """In the order of their numbers."""
        rows = self._database.rows(_CHILDREN, (self._tuning.name, len(self._ended)))
        children = [*self._ended, *map(self._child, rows)]
        while len(self._ended) < len(children) and not children[len(self._ended)].trial.running:
            self._ended.append(children[len(self._ended)])
        return children

    def add(self, proposals: Sequence[Proposal], job: Resource) -> list[Child]:
        """Write down what was chosen: from here on a kill loses it no more, and repeats it no more."""
        children = [
            Child(
                Trial(item.number, item.parameters, definition=item.definition),
                name(job, item.number),
            )
            for item in proposals
        ]
        with self._database.write() as connection:
            connection.executemany(
                "INSERT INTO trials VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        job.name,
                        child.trial.number,
                        child.job,
                        child.trial.definition,
                        json.dumps(dict(child.trial.parameters)),
                    )
                    for child in children
                ],
            )
        return children

    def _child(self, row: Any) -> Child:
        number, job, definition, parameters, arn, status, created, text = row
        if arn is None:
            return Child(Trial(number, json.loads(parameters), definition=definition), job)
        state = json.loads(text)
        standing = _STATUSES.get(status, "InProgress")
        trial = Trial(
            number,
            json.loads(parameters),
            standing,
            self._values(job, self._tuning.definition(definition).objective.metric),
            definition,
            state.get("TrainingEndTime", created) if standing != "InProgress" else None,
            state.get("FailureReason", ""),
        )
        return Child(trial, job, arn, created, state.get("TrainingStartTime"), status)

    def _values(self, job: str, metric: str) -> tuple[float, ...]:
        """Of the host that speaks for the job, where it speaks."""
        rows = self._database.rows(_VALUES, (job, metric))
        own = tuple(value for host, value in rows if host == LEADER)
        return own or tuple(value for _, value in rows)


def name(job: Resource, number: int) -> str:
    """As AWS calls them; a job that was deleted and made anew has others."""
    return f"{job.name}-{number:03d}-{zlib.crc32(f'{job.arn} {job.created} {number}'.encode()):08x}"


def training_request(content: Mapping[str, Any], definition: Definition, child: Child) -> dict[str, Any]:
    """The CreateTrainingJob of a child; `content`: the TrainingJobDefinition that it is of."""
    algorithm = content["AlgorithmSpecification"]
    specification = {"TrainingImage": definition.image, "TrainingInputMode": algorithm["TrainingInputMode"]}
    if algorithm.get("MetricDefinitions"):
        specification["MetricDefinitions"] = algorithm["MetricDefinitions"]
    request: dict[str, Any] = {
        "TrainingJobName": child.job,
        "HyperParameters": definition.hyperparameters(child.trial.parameters),
        "AlgorithmSpecification": specification,
        "ResourceConfig": resource_config(content),
        **{key: content[key] for key in _SHARED if content.get(key) is not None},
    }
    if checkpoints := content.get("CheckpointConfig"):  # each its own: they would go on from each other's
        request["CheckpointConfig"] = {
            **checkpoints,
            "S3Uri": f"{checkpoints['S3Uri'].rstrip('/')}/{child.job}",
        }
    return request


def resource_config(content: Mapping[str, Any]) -> dict[str, Any]:
    """ResourceConfig, or what HyperParameterTuningResourceConfig makes of it."""
    if content.get("ResourceConfig"):
        return dict(content["ResourceConfig"])
    given = dict(content.get("HyperParameterTuningResourceConfig") or {})
    first = (given.pop("InstanceConfigs", None) or [{}])[0]
    given.pop("AllocationStrategy", None)
    return {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, **given, **first}
