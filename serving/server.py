"""The program `serve`: Flask under gunicorn.

Connections are read and written by an event loop in each worker: see `serving.loop`.

The parent process never computes and loads no kernels: libraries with thread pools hang or abort in children
of a parent that used them. Each worker maps the model after the fork, so pages are shared, and lets it answer
once before it is ready. One worker a CPU, or one a GPU with a thread that joins requests into batches; a
multi-model server is one process.
"""

from __future__ import annotations

import logging
import mmap
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import deque
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NoReturn

from optml import cpus
from optml.container import devices
from optml.container.paths import Paths
from optml.errors import PlatformError, UserError
from optml.serving.log import start as start_log
from optml.serving.settings import Settings
from optml.serving.stop import DRAIN, Stop

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

    from optml.serving.app import WorkerState
    from optml.serving.batching import Queue

log = logging.getLogger(__name__)

DEATHS, WINDOW = 3, 60.0  # so many deaths of workers in so many seconds end the server
_CANNOT_LOAD = 3  # exit status of a worker that makes gunicorn give up instead of starting another


def main() -> int:
    """Serve the model in /opt/ml/model until SIGTERM. Returns the exit status: 0 after a stop, 1 when the
    model cannot be loaded or workers keep dying, 2 for an environment that makes no sense."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until gunicorn has its own
    try:
        settings = Settings.of_environment()
    except UserError as error:
        start_log(logging.INFO)
        log.error("%s", error)
        return 2
    start_log(settings.log_level)
    device_names = _devices()
    _open_many_files()
    cores = cpus.count()
    processes = 1 if settings.multi_model else settings.workers or len(device_names) or _workers(cores)
    cpus.limit_threads(processes)
    with tempfile.TemporaryDirectory(prefix="optml-serve-", dir=_shared_memory()) as scratch:
        failure = Path(scratch) / "failure"
        try:
            _serve(settings, processes, device_names, failure)
        except SystemExit as end:
            if not end.code:
                return 0
            if failure.exists():  # the log ends with the cause
                log.error("%s", failure.read_text())
            return 1
        except (UserError, PlatformError, OSError) as error:
            log.error("%s", error)
            return 1
    return 0


def _serve(settings: Settings, processes: int, device_names: list[str], failure: Path) -> None:
    from optml.serving.models import unpacked

    if settings.multi_model:
        _Server(settings, processes, device_names, None, failure).run()
        return
    with unpacked(Paths.of_environment().model) as folder:
        _Server(settings, processes, device_names, folder, failure).run()


class _Server:
    """The parent process: gunicorn's configuration and what it is told at its events."""

    def __init__(
        self, settings: Settings, processes: int, device_names: list[str], folder: Path | None, failure: Path
    ) -> None:
        self.settings = settings
        self.processes = processes
        self.devices = device_names
        self.folder = folder
        self.failure = failure
        self.deaths: deque[float] = deque(maxlen=DEATHS)
        self.shared = mmap.mmap(-1, 1)  # [0]: some worker has its model
        self.ending = Stop(processes)

    def run(self) -> None:
        """Start gunicorn in this process; ends with SystemExit."""
        from gunicorn.app.base import BaseApplication
        from gunicorn.errors import HaltServer

        import optml.serving.app  # before the fork: once for all workers
        from optml.serving.processes import Parent

        server = self

        class Application(BaseApplication):  # type: ignore[misc]
            def load_config(self) -> None:
                for name, value in server.configuration().items():
                    if name in self.cfg.settings:  # some are younger than the oldest gunicorn we take
                        self.cfg.set(name, value)

            def load(self) -> object:
                return optml.serving.app  # a worker makes its own application in `start_worker`

        from optml.serving import memory, metrics

        metrics.share(self.processes)
        self.kills = memory.kills()
        log.info(
            "serving %s on port %d: %d workers of %d threads",
            self.folder or "many models",
            self.settings.port,
            self.processes,
            self.settings.threads,
        )
        parent = os.getpid()
        try:
            Parent(Application(), self.ending).run()
        except HaltServer as halt:  # raised once more while the other workers were stopped
            sys.exit(halt.exit_status)
        except SystemExit as end:
            if os.getpid() != parent:  # a worker, which must not clean up what is its parent's
                _end(end.code if isinstance(end.code, int) else 0 if end.code is None else 1)
            raise

    def configuration(self) -> dict[str, Any]:
        return {
            "bind": f"0.0.0.0:{self.settings.port}",
            "workers": self.processes,
            "worker_class": "optml.serving.processes.Worker",
            "worker_tmp_dir": _shared_memory(),
            "timeout": 120,  # without a sign of life from the event loop
            "graceful_timeout": int(DRAIN) + 3,  # then the parent kills: workers end by themselves before
            "loglevel": "warning",
            "control_socket_disable": True,
            "pre_fork": self.place_worker,
            "post_worker_init": self.start_worker,
            "child_exit": self.bury_worker,
        }

    def place_worker(self, arbiter: Arbiter, worker: Any) -> None:
        """In the parent, before a fork: give the worker the lowest number that no other has, and with it its
        GPU."""
        taken = {other.place for other in arbiter.WORKERS.values()}
        worker.place = next(place for place in range(len(taken) + 1) if place not in taken)
        worker.settings = self.settings
        worker.ending = self.ending
        self.ending.done(worker.place, False)

    def start_worker(self, worker: Any) -> None:
        """In a new worker process: make its application, then load its model.

        The first workers answer /ping with 503 while they load. One that replaces a dead one loads first, so
        that its siblings get the requests in the meantime.
        """
        from optml.serving import metrics
        from optml.serving.app import WorkerState, create_app
        from optml.serving.batching import Batcher, Gate

        settings = self.settings
        metrics.start(worker.place)

        def queue(device: str) -> Queue:
            if device == "cpu":
                return Gate(settings.max_queue, settings.max_answer)
            return Batcher(
                settings.max_batch_records, settings.max_batch_delay, settings.max_queue, settings.max_answer
            )

        state = WorkerState(
            settings,
            self.processes,
            ready=lambda: self.shared[0] == 1,
            device=self.devices[worker.place % len(self.devices)] if self.devices else "cpu",
        )
        if self.folder is None:
            from optml.serving.store import Store

            store = Store(settings, {device: queue(device) for device in self.devices or ["cpu"]})
            worker.wsgi = create_app(state, store)
            self.shared[0] = 1
            return
        worker.wsgi = create_app(state)
        if self.shared[0]:
            self._load(state, queue(state.device))
        else:
            Thread(target=self._load, args=(state, queue(state.device)), daemon=True).start()

    def _load(self, state: WorkerState, queue: Queue) -> None:
        from optml.serving import metrics
        from optml.serving.models import load
        from optml.serving.predictor import Predictor

        assert self.folder is not None
        try:
            served = load(self.folder, state.device, self.settings.algorithm)
        except BaseException as error:
            self._give_up(error)
        metrics.gauge("model_load_seconds", served.load_seconds)
        metrics.gauge("models_loaded", 1)
        state.predictor = Predictor(served, queue, self.settings)
        state.loaded.set()
        self.shared[0] = 1
        log.info("model of %s loaded in %.2f s", served.algorithm.slug, served.load_seconds)

    def _give_up(self, error: BaseException) -> NoReturn:
        """End the worker, and with it the server: another would find the same. The first one says why."""
        try:
            with self.failure.open("x") as file:
                file.write(
                    f"Unable to load model: {error}" if str(error) else f"Unable to load model: {error!r}"
                )
            if not isinstance(error, UserError):
                traceback.print_exception(error)
        except FileExistsError:
            pass
        _end(_CANNOT_LOAD)

    def bury_worker(self, arbiter: Arbiter, worker: Any) -> None:
        """In the parent, after a worker has ended: count it, and give up after three in a minute."""
        from gunicorn.errors import HaltServer

        from optml.serving import memory

        self.ending.done(worker.place)
        if not arbiter.LISTENERS:  # the server is stopping
            return
        if not arbiter.WORKERS:
            self.shared[0] = 0
        kills = memory.kills()
        cause = f"worker process {worker.pid} died"
        if kills > self.kills:
            self.kills = kills
            cause += ": killed by the kernel, for the container's memory was used up"
        self.deaths.append(time.monotonic())
        if len(self.deaths) == DEATHS and self.deaths[-1] - self.deaths[0] < WINDOW:
            self.failure.write_text(f"{cause}; it was the third within {WINDOW:.0f} s")
            raise HaltServer("workers keep dying", 1)
        log.error("%s; starting another", cause)
        time.sleep(0.2 * len(self.deaths))


def _end(status: int) -> NoReturn:
    """End this process at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def _workers(cores: int) -> int:
    """One a CPU, but no more than the container's memory holds: the kernel kills what takes more."""
    from optml import memory
    from optml.serving import memory as needs

    fit = needs.workers(Paths.of_environment().model)
    if fit < cores:
        log.warning(
            "%s of memory hold %d workers of this model, not one for each of the %d CPUs; "
            "SAGEMAKER_MODEL_SERVER_WORKERS overrides it",
            memory.size(memory.limit()),
            fit,
            cores,
        )
    return min(cores, fit)


def _open_many_files() -> None:
    """Each connection is an open file: take as many as the system grants."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _devices() -> list[str]:
    """The GPUs to serve on; none: the CPU."""
    number = devices.usable()
    if number and not devices.built_for_cuda():
        log.warning("the installed torch has no CUDA: serving on the CPU; use the image for GPUs")
        number = 0
    return [f"cuda:{index}" for index in range(number)]


def _shared_memory() -> str | None:
    """Where small files live in memory; None: the system's temporary folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
