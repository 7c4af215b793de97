"""One tuning job, from its request to its end, whoever is killed in between."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from optml.errors import PlatformError, UserError
from optml.local.control.errors import ApiError
from optml.local.control.jobs.submission import Submission
from optml.local.control.resources import AlreadyThereError, Resource
from optml.local.control.tuning.children import Child, Children, training_request
from optml.local.control.tuning.oracle import Oracle
from optml.local.control.tuning.state import KIND, TuningState, definitions, table_of
from optml.local.tuning import proposals
from optml.local.tuning import request as requests
from optml.local.tuning.completion import Completion, completion, remaining
from optml.local.tuning.definition import Tuning
from optml.local.tuning.stopping import stops
from optml.local.tuning.trials import Parent, Proposal, Trial

if TYPE_CHECKING:
    from optml.local.control.context import Context

log = logging.getLogger(__name__)

POLL = 0.25  # seconds between looks at the training jobs


class TuningRun:
    """What the control plane does about one tuning job. All that it knows is in the database, so it may begin
    anew at any moment."""

    started = True  # it needs no slot: its training jobs do

    def __init__(self, context: Context, training: Submission, job: Resource) -> None:
        self._context = context
        self._training = training
        self._job = job
        self._judged: dict[int, int] = {}  # trial -> how many of its values were looked at

    def run(self, closing: threading.Event) -> None:
        """Bring the job to its end; returns early once `closing` is set."""
        try:
            tuning = requests.read(self._job.request, table_of, limits=False)
            children = Children(self._context.database, tuning)
            parents = [
                state.as_parent() for state in TuningState(self._job, tuning, ()).parents(self._context)
            ]
            with Oracle() as oracle:
                while not self._step(tuning, children, parents, oracle):
                    if closing.wait(POLL):
                        return
        except (UserError, PlatformError, ApiError) as error:
            self._end("Failed", str(error))
        except Exception as error:
            log.exception("tuning job %s", self._job.name)
            self._end("Failed", f"InternalServerError: {type(error).__name__}: {error}")

    def stop(self) -> None:
        """The next look finds the status."""

    def _step(self, tuning: Tuning, store: Children, parents: list[Parent], oracle: Oracle) -> bool:
        """Do what is to be done now; True: the job has come to its end."""
        job = self._context.resources.get(KIND, self._job.name)
        if job is None or job.status not in ("InProgress", "Stopping"):
            return True
        children = store.load()
        for child in children:
            if child.arn is None:
                self._submit(tuning, child)  # as it was chosen, before somebody was killed
        running = [child for child in children if child.trial.running]
        if job.status == "Stopping":
            self._stop(running)
            if not running:
                self._end("Stopped")
            return not running
        trials = [child.trial for child in children]
        done = self._completion(job, tuning, trials)
        if done is not None and not running:
            converged = time.time() if done.reason == "ConvergenceDetected" else None
            self._end(
                "Failed" if done.failure else "Completed", done.failure, ConvergenceDetectedTime=converged
            )
            return True
        if done is not None and done.at_once:
            self._stop(running)
            return False
        self._judge(tuning, trials, running)
        free = tuning.parallel - len(running)
        if done is None and free > 0:
            left = remaining(tuning, trials)
            count = free if left is None else min(free, left)
            chosen = self._propose(tuning, trials, count, parents, oracle)
            for child in store.add(chosen, self._job):
                self._submit(tuning, child)
            if not chosen and not running:  # a grid has no more
                self._end("Completed")
                return True
        return False

    def _completion(self, job: Resource, tuning: Tuning, trials: list[Trial]) -> Completion | None:
        """Once training jobs were stopped for it, it stays as it is, whatever they have left."""
        decided = job.state.get("Completion")
        if decided is not None:
            return Completion(**decided)
        done = completion(tuning, trials, time.time() - job.created)
        if done is not None and done.at_once:
            self._context.resources.update(KIND, job.name, only_from=("InProgress",), Completion=asdict(done))
        return done

    def _propose(
        self, tuning: Tuning, trials: list[Trial], count: int, parents: list[Parent], oracle: Oracle
    ) -> list[Proposal]:
        if count < 1:
            return []
        if tuning.strategy not in proposals.HEAVY:
            return proposals.propose(tuning, trials, count, parents)
        images = {definition.image for definition in tuning.definitions}
        tables = {image: table_of(image) for image in images}
        question = {
            "request": self._job.request,
            "tables": {image: table.to_json() for image, table in tables.items() if table is not None},
            "limits": False,
            "trials": [trial.to_json() for trial in trials],
            "parents": [
                {
                    "name": parent.name,
                    "static": dict(parent.static),
                    "trials": [trial.to_json() for trial in parent.trials],
                }
                for parent in parents
            ],
            "count": count,
        }
        return [Proposal(**item) for item in oracle.ask({"propose": question})["proposals"]]

    def _submit(self, tuning: Tuning, child: Child) -> None:
        """Put a training job into the queue, unless it is there."""
        names = [definition.name for definition in tuning.definitions]
        number = names.index(child.trial.definition)
        content = definitions(self._job.request)[number]
        request = training_request(content, tuning.definitions[number], child)
        try:
            self._training.submit(request, self._job.arn.split(":")[3], TuningJobArn=self._job.arn)
        except AlreadyThereError as error:
            if error.resource.state.get("TuningJobArn") != self._job.arn:
                raise UserError(f"there is a training job called {child.job} already") from None

    def _judge(self, tuning: Tuning, trials: list[Trial], running: list[Child]) -> None:
        """Stop the training jobs that promise nothing, where the job asks for that."""
        for child in running:
            trial = child.trial
            before = self._judged.get(trial.number, 0)
            self._judged[trial.number] = len(trial.values)
            if len(trial.values) > before and stops(tuning, trials, trial, before):
                self._training.stop(child.job)

    def _stop(self, running: list[Child]) -> None:
        for child in running:
            self._training.stop(child.job)

    def _end(self, status: str, reason: str = "", **state: Any) -> None:
        self._context.resources.update(
            KIND,
            self._job.name,
            status,
            only_from=("InProgress", "Stopping"),
            HyperParameterTuningEndTime=time.time(),
            FailureReason=reason[:1024] or None,
            Completion=None,
            **state,
        )
