"""All parts of the control plane, put together."""

from __future__ import annotations

from functools import partial

from optml.local.control.context import Context, Options
from optml.local.control.endpoints.capture import Capture
from optml.local.control.endpoints.counts import Counts
from optml.local.control.endpoints.invoker import Invoker
from optml.local.control.endpoints.manager import Manager
from optml.local.control.endpoints.queue import Queue
from optml.local.control.endpoints.scaling import Scaling
from optml.local.control.home import Home
from optml.local.control.jobs.scheduler import MakeRun, Scheduler
from optml.local.control.jobs.submission import Submission
from optml.local.control.jobs.training import TrainingRun
from optml.local.control.jobs.transform import TransformRun
from optml.local.control.tuning.run import TuningRun

_TUNING_JOBS = 100  # at once, as on AWS: what they wait for are slots for their training jobs


class Plane(Context):
    """What operations work on."""

    def __init__(self, home: Home, options: Options) -> None:
        super().__init__(home, options)
        self.counts = Counts(self)
        self.endpoints = Manager(self)
        self.invoker = Invoker(self, self.endpoints, self.counts)
        self.capture = Capture(self, self.endpoints)
        self.queue = Queue(self, self.endpoints, self.invoker)
        self.scaling = Scaling(self, self.endpoints, self.counts)
        runs: dict[str, MakeRun] = {
            "TrainingJob": partial(TrainingRun, self),
            "TransformJob": partial(TransformRun, self),
        }
        self.scheduler = Scheduler(self, runs, self.slots)
        self.training = Submission(self, self.scheduler)
        searches: dict[str, MakeRun] = {"HyperParameterTuningJob": partial(TuningRun, self, self.training)}
        self.tuning = Scheduler(self, searches, _TUNING_JOBS)

    def start(self) -> None:
        """On the event loop that serves requests: take up what runs."""
        self.attach()
        self.scheduler.start()
        self.tuning.start()
        self.endpoints.start()
        self.queue.start()
        self.capture.start()
        self.scaling.start()

    def close(self) -> None:
        """Blocks, and needs the event loop meanwhile. Servers of models end; training jobs run on."""
        self.scaling.close()
        self.queue.close()
        self.capture.close()
        self.tuning.close()
        self.scheduler.close()
        self.endpoints.close()
        self.counts.flush()
        self.release()
