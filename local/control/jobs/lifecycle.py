"""The states of a training job, and what is said at each change."""

from __future__ import annotations

import time
from typing import Any

from optml.local.control.resources import Resource, Resources

MESSAGES = {
    "Starting": "Starting the training job",
    "LaunchingMLInstances": "Launching requested ML instances",
    "PreparingTrainingStack": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
ENDED = ("Completed", "Failed", "Stopped")


def first() -> list[dict[str, Any]]:
    """The transitions of a new job."""
    return [_transition("Starting", None, time.time())]


def advance(
    resources: Resources,
    name: str,
    secondary: str,
    *,
    status: str | None = None,
    message: str | None = None,
    only_from: tuple[str, ...] | None = None,
    **state: Any,
) -> Resource | None:
    """Move a job on; None: it is gone, or in no status of `only_from`. Told twice, it moves once."""
    now = time.time()

    def transitions(job: Resource) -> dict[str, Any]:
        steps = list(job.state["SecondaryStatusTransitions"])
        if steps[-1]["Status"] != secondary:
            steps[-1] = {**steps[-1], "EndTime": now}
            steps.append(_transition(secondary, message, now))
        if status in ENDED:
            steps[-1] = {**steps[-1], "EndTime": now}
        return {"SecondaryStatusTransitions": steps, "SecondaryStatus": secondary}

    return resources.update("TrainingJob", name, status, only_from=only_from, computed=transitions, **state)


def _transition(secondary: str, message: str | None, now: float) -> dict[str, Any]:
    return {"Status": secondary, "StartTime": now, "StatusMessage": message or MESSAGES[secondary]}
