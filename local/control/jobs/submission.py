"""Training jobs put into the queue, and taken out of it."""

from __future__ import annotations

from typing import Any

from optml.local.control.context import Context
from optml.local.control.jobs import lifecycle
from optml.local.control.jobs.scheduler import Scheduler
from optml.local.control.resources import Resource

KIND = "TrainingJob"


class Submission:
    """Of training jobs to the scheduler that runs them."""

    def __init__(self, context: Context, scheduler: Scheduler) -> None:
        self._context = context
        self._scheduler = scheduler

    def submit(self, request: dict[str, Any], region: str, **state: Any) -> Resource:
        """Put a job into the queue; `state`: what its description has beyond its request. Raises
        AlreadyThereError."""
        resources, scheduler = self._context.resources, self._scheduler
        name = request["TrainingJobName"]
        job = resources.create(
            KIND,
            name,
            region,
            request,
            "InProgress",
            SecondaryStatus="Starting",
            SecondaryStatusTransitions=lifecycle.first(),
            **state,
        )
        if scheduler.full:
            busy = f"Waiting for resources: {scheduler.busy} of {self._context.slots} slots in use"
            lifecycle.advance(resources, name, "Pending", message=busy, only_from=("InProgress",))
        scheduler.wake()
        return job

    def stop(self, name: str) -> bool:
        """End a job before its time, or take it out of the queue; False: it was not in progress."""
        resources = self._context.resources
        moved = lifecycle.advance(resources, name, "Stopping", status="Stopping", only_from=("InProgress",))
        if not self._scheduler.stop(KIND, name):  # it waits in the queue
            lifecycle.advance(resources, name, "Stopped", status="Stopped", only_from=("Stopping",))
        return moved is not None
