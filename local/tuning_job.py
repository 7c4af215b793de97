"""A tuning job on this machine: its trials are training jobs here, one after another or several at once."""

from __future__ import annotations

import queue
import shutil
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from optml import cpus
from optml.errors import PlatformError, UserError
from optml.local.training_job import TrainingJob
from optml.local.tree import Input
from optml.local.tuning import request as requests
from optml.local.tuning import warm_start
from optml.local.tuning.completion import Completion, completion, remaining
from optml.local.tuning.definition import Tuning
from optml.local.tuning.description import best_trial, counters, summary
from optml.local.tuning.objective import Patterns
from optml.local.tuning.proposals import propose
from optml.local.tuning.stopping import stops
from optml.local.tuning.tables import Table
from optml.local.tuning.trials import Parent, Status, Trial, pending
from optml.local.tuning_folder import Folder

LOOK = 1.0  # seconds between looks at the clock


class _Value(NamedTuple):
    """A trial has printed its objective."""

    number: int
    value: float


class _End(NamedTuple):
    """A trial's training job has ended."""

    number: int
    status: Status
    reason: str


class TuningJob:
    """`TuningJob(folder, request, inputs, table).run()` tunes; called again for the same folder, it goes on.

    folder:  where all of it is kept (`local/tuning_folder.py`).
    request: as CreateHyperParameterTuningJob takes it, of one algorithm of ours, whose `table` this is.
    inputs:  the channels of every trial, on this machine.
    limits:  hold the request against the limits of AWS's accounts.
    parents: folders of the earlier tuning jobs that WarmStartConfig names.
    docker, gpus: as of TrainingJob.
    on_start, on_end: told of each trial as it starts and ends.

    Raises UserError for a request that makes no sense.
    """

    def __init__(
        self,
        folder: Path,
        request: Mapping[str, Any],
        inputs: Mapping[str, Input],
        table: Table,
        *,
        limits: bool = True,
        parents: Sequence[Path] = (),
        docker: str | None = None,
        gpus: str | None = None,
        on_start: Callable[[Trial], None] = lambda trial: None,
        on_end: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        self.tuning: Tuning = requests.read(request, lambda image: table, limits=limits)
        (self.definition,) = self.tuning.definitions
        self._parents = _parents(self.tuning, parents, table) if self.tuning.warm_start else []
        self.trials: dict[int, Trial] = {}
        self.completion: Completion | None = None
        self._request = request
        self._inputs = inputs
        self._folder = Folder(folder)
        self._docker, self._gpus = docker, gpus
        self._on_start, self._on_end = on_start, on_end
        self._records: dict[int, dict[str, Any]] = {}
        self._state: dict[str, Any] = {}
        self._events: queue.Queue[_Value | _End] = queue.Queue()
        self._jobs: dict[int, TrainingJob] = {}  # those that run
        self._threads: dict[int, threading.Thread] = {}
        self._stopped: set[int] = set()  # trials that were told to end before their time
        self._interrupted = False

    @property
    def best(self) -> Trial | None:
        return best_trial(self.tuning, list(self.trials.values()))

    def folder_of(self, trial: Trial) -> Path:
        """Where a trial's model and log are."""
        return self._folder.training_job(self._records[trial.number]["TrainingJobName"])

    def run(self) -> bool:
        """Start and follow trials until the job is complete; False: it was interrupted, and may go on later.

        Raises UserError for a folder of another job, and where the job has failed.
        """
        with self._folder.opened(self._request) as (state, records):
            self._resume(state, records)
            began = time.time() - self._state["ConsumedResources"]["RuntimeInSeconds"]
            try:
                self._loop(began)
            finally:
                self._abandon()
                self._describe(began)
        if self.completion and self.completion.failure:
            raise UserError(self.completion.failure)
        return self.completion is not None

    def interrupt(self) -> None:
        """Stop the trials that run; they start anew when the job goes on. A second call ends them at once.
        Safe in a signal handler."""
        again, self._interrupted = self._interrupted, True
        for job in list(self._jobs.values()):
            if again:
                job.kill()
            else:
                job.terminate()

    # The job

    def _resume(self, state: dict[str, Any], records: dict[int, dict[str, Any]]) -> None:
        now = time.time()
        fresh = {"CreationTime": now, "ConsumedResources": {"RuntimeInSeconds": 0}}
        self._state = {**fresh, **state, **self._request}
        self._records = records
        self.trials = {number: _trial(record) for number, record in sorted(records.items())}

    def _loop(self, began: float) -> None:
        for trial in list(self.trials.values()):
            if trial.running and not self._interrupted:  # when the job was last ended
                self._start(trial)
        while True:
            trials = list(self.trials.values())
            self.completion = completion(self.tuning, trials, time.time() - began)
            if self.completion is None and not self._interrupted:
                for proposal in propose(self.tuning, trials, self._free(), self._parents):
                    self._start(pending(proposal))
            if self.completion is not None and self.completion.at_once:
                for number in self._jobs:
                    self._stop(number)
            self._describe(began)
            if not self._threads:
                if self.completion or self._interrupted:
                    return
                raise PlatformError("no trial could be started")
            self._wait()

    def _wait(self) -> None:
        """Take what happens until a trial ends; for a second at most, where the job counts its time."""
        deadline = None if self.tuning.seconds is None else time.monotonic() + LOOK
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                return
            if isinstance(event, _End):
                self._end(event)
                return
            self._measure(event)

    def _free(self) -> int:
        """How many trials may start now."""
        free = self.tuning.parallel - len(self._threads)
        left = remaining(self.tuning, list(self.trials.values()))
        return free if left is None else min(free, left)

    def _measure(self, event: _Value) -> None:
        """Take in a value of a trial that runs, and stop the trial where it should be."""
        trial = self.trials[event.number]
        trial = replace(trial, values=(*trial.values, event.value))
        self.trials[event.number] = trial
        if event.number not in self._stopped and stops(
            self.tuning, list(self.trials.values()), trial, judged=len(trial.values) - 1
        ):
            self._stop(event.number)

    def _end(self, event: _End) -> None:
        """Take in what came of a trial."""
        trial = self.trials[event.number]
        self._threads.pop(event.number).join()
        self._jobs.pop(event.number, None)
        if self._interrupted and event.number not in self._stopped and event.status != "Completed":
            return  # recorded as running, so that it starts anew
        trial = replace(trial, status=event.status, reason=event.reason, ended=time.time())
        self.trials[event.number] = trial
        self._record(trial)
        if best := self.best:
            self._folder.point_at(self._records[best.number]["TrainingJobName"])
        self._on_end(trial)

    def _stop(self, number: int) -> None:
        if number not in self._stopped:
            self._stopped.add(number)
            if number in self._jobs:
                self._jobs[number].stop()

    def _abandon(self) -> None:
        """End what still runs, when the loop was left by an error."""
        for job in list(self._jobs.values()):
            job.kill()
        for thread in self._threads.values():
            thread.join()

    # Trials

    def _start(self, trial: Trial) -> None:
        trial = replace(trial, values=())
        self.trials[trial.number] = trial
        if trial.number not in self._records:
            self._records[trial.number] = {
                "Number": trial.number,
                "TrainingJobName": self._name(trial.number),
                "CreationTime": time.time(),
            }
        self._record(trial)
        self._on_start(trial)
        thread = threading.Thread(target=self._train, args=(trial,), daemon=True)
        self._threads[trial.number] = thread
        thread.start()

    def _name(self, number: int) -> str:
        """As the service calls a training job of a tuning job."""
        suffix = zlib.crc32(f"{self.tuning.name}/{self.tuning.seed}/{number}".encode())
        return f"{self.tuning.name}-{number:03d}-{suffix:08x}"

    def _train(self, trial: Trial) -> None:
        """Run a trial's training job, on a thread of its own, which says in events what comes of it."""
        status: Status = "Failed"
        reason = ""
        try:
            status, reason = self._follow(trial)
        except (UserError, PlatformError, OSError) as error:
            reason = str(error)
        finally:
            self._events.put(_End(trial.number, status, reason))

    def _follow(self, trial: Trial) -> tuple[Status, str]:
        folder = self.folder_of(trial)
        shutil.rmtree(folder, ignore_errors=True)  # of a start that was killed
        folder.mkdir(parents=True)
        patterns = Patterns(
            {self.definition.objective.metric: self.definition.metrics[self.definition.objective.metric]}
        )
        job = TrainingJob(
            self.definition.slug or "",
            self.definition.hyperparameters(trial.parameters),
            self._inputs,
            model=folder / "model",
            root=folder / "ml",
            docker=self._docker,
            gpus=self._gpus,
            environment={"OMP_NUM_THREADS": str(max(1, cpus.count() // self.tuning.parallel))},
        )
        with job, (folder / "log").open("w", encoding="utf-8") as log:
            self._jobs[trial.number] = job
            if self._interrupted or trial.number in self._stopped:  # meanwhile
                job.terminate()
            for line in job.log():
                log.write(line.text + "\n")
                for _, value in patterns.values(line.text):
                    self._events.put(_Value(trial.number, value))
            code = job.wait()
            reason = job.failure if code else ""
        _tidy(folder)
        if code:
            return "Failed", reason
        stopped = trial.number in self._stopped or self._interrupted
        return "Stopped" if stopped else "Completed", ""

    # What is kept

    def _record(self, trial: Trial) -> None:
        now = time.time()
        record = self._records[trial.number]
        record |= summary(self.definition, trial) | {"ObjectiveValues": list(trial.values)}
        record["TrainingStartTime" if trial.running else "TrainingEndTime"] = now
        self._folder.record(record)

    def _describe(self, began: float) -> None:
        trials = list(self.trials.values())
        now = time.time()
        if self.completion is None or self._threads:
            status = "InProgress"
        else:
            status = "Failed" if self.completion.failure else "Completed"
        self._state |= {
            **counters(trials),
            "HyperParameterTuningJobStatus": status,
            "LastModifiedTime": now,
            "ConsumedResources": {"RuntimeInSeconds": round(now - began)},
            "RandomSeed": self.tuning.seed,
            "Ranges": [asdict(span) for span in self.definition.ranges],
        }
        if self.best:
            self._state["BestTrainingJob"] = self._records[self.best.number]
        if status != "InProgress":
            self._state["HyperParameterTuningEndTime"] = now
        if self.completion and self.completion.failure:
            self._state["FailureReason"] = self.completion.failure
        self._folder.describe(self._state)


def _parents(tuning: Tuning, folders: Sequence[Path], table: Table) -> list[Parent]:
    """The parents of a warm start. Raises UserError for those that cannot be some."""
    jobs: dict[str, tuple[Tuning, str, int]] = {}
    parents = []
    for folder in folders:
        state, records = Folder(folder).read()
        name = state["HyperParameterTuningJobName"]
        job = requests.read(state, lambda image: table, limits=False)
        jobs[name] = (job, state["HyperParameterTuningJobStatus"], len(records))
        trials = tuple(_trial(record) for record in records.values())
        parents.append(Parent(name, trials, job.definitions[0].static))
    warm_start.check(tuning, jobs)
    return parents


def _trial(record: Mapping[str, Any]) -> Trial:
    return Trial(
        record["Number"],
        record["TunedHyperParameters"],
        record["TrainingJobStatus"],
        tuple(record["ObjectiveValues"]),
        ended=record.get("TrainingEndTime"),
        reason=record.get("FailureReason", ""),
    )


def _tidy(folder: Path) -> None:
    """Lay a trial's folder out as people look for things: input, output, model, log."""
    host = folder / "ml" / "algo-1"
    for name in ("input", "output"):
        (host / name).rename(folder / name)
    shutil.rmtree(folder / "ml")
