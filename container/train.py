"""One training job from its configuration to its model: the program `train`."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from optml import memory
from optml.algorithms import registry
from optml.algorithms.base import Algorithm, Model, Run, Setting
from optml.algorithms.sources import Data, Table
from optml.container import devices, errors, incremental, outputs, reporting
from optml.container.channels import Channel
from optml.container.checkpoint import Checkpoints, fingerprint
from optml.container.cluster import connect
from optml.container.errors import Failure
from optml.container.group import Alone, Group
from optml.container.hyperparameters import fields
from optml.container.job import Hosts, Job
from optml.container.loop import Loop, Plan
from optml.container.paths import Paths
from optml.container.rendezvous import Place, number
from optml.container.reporting import Report
from optml.container.sources import Source
from optml.container.stop import Stop, Stopped
from optml.errors import PlatformError, UserError
from optml.formats.column_order import ColumnOrder

log = logging.getLogger(__name__)

BATCH_SIZE = 1000  # rows, for algorithms without mini_batch_size

# Set by the first process of a host for the others, where one host trains on several GPUs.
LOCAL_RANK, LOCAL_SIZE = "OPTML_LOCAL_RANK", "OPTML_LOCAL_SIZE"


def main(stop: Stop | None = None, began: float | None = None) -> int:
    """Run the job of the /opt/ml tree; returns the exit code: 0, or 1 to 3 for the kinds of failure.

    Never raises. `stop` has taken over the signals already (else it is done here); `began` is when the
    process was started, in seconds since 1970.
    """
    if stop is None:
        stop = Stop()
        stop.install()
    return Process(Paths.of_environment(), stop, began or time.time()).run()


class Process:
    """One process of a training job: what is known of it at each moment, so that every way out is right."""

    def __init__(self, paths: Paths, stop: Stop, began: float) -> None:
        self.paths = paths
        self.stop = stop
        self.began = began
        self.out = reporting.start_logging(sys.stdout)
        self.cluster: Group = Alone()
        self.algorithm: Algorithm | None = None
        self.columns = ColumnOrder()  # of tables, in the order in which the first of them, train's, has them
        self.local = int(os.environ.get(LOCAL_RANK) or 0)
        self.others: list[subprocess.Popen[bytes]] = []  # this host's processes for its other GPUs

    def run(self) -> int:
        if self.local == 0:
            self.out.plain("Docker entrypoint called with argument(s): train")
        try:
            with self.stop.at_once():
                job, device = self._begin()
            with tempfile.TemporaryDirectory(prefix="optml-") as scratch:
                if job.algorithm.training.fit is not None:
                    self._fit(job, device, Path(scratch))
                else:
                    self._loop(job, device, Path(scratch)).run()
            self.cluster.close()
        except Stopped:
            for process in self.others:
                process.terminate()
            log.info("Stopping before training has begun: there is no model, the model folder stays empty")
        except Exception as error:
            return self._fail(error)
        finally:
            self._end_others()
        return 0

    def _begin(self) -> tuple[Job, str]:
        """Read the configuration, join the other processes; returns the job and the device to train on.

        What is wrong with one host's configuration is told to the others, who would wait for it in vain.
        """
        hosts = Hosts.read(self.paths)
        problem: Failure | None = None
        job, gpus = None, 0
        try:
            job = self._read()
            gpus = job.hyperparameters.gpus(devices.select(job.engine.num_gpus, job.algorithm.compute))
            if gpus > 1 and any(channel.mode == "Pipe" for channel in job.channels.values()):
                log.info("A Pipe is read by one process: training on one GPU of this host, not on %d", gpus)
                gpus = 1
        except Exception as error:
            problem = self._explain(error)
        size = int(os.environ.get(LOCAL_SIZE) or max(gpus, 1))
        if self.local == 0 and size > 1:
            self._start_others(size)
        device = f"cuda:{self.local}" if gpus else "cpu"
        place = Place(hosts.current, hosts.all, hosts.label, hosts.interface, self.local, size)
        self.cluster = connect(place, problem=problem, device=device)
        assert job is not None
        return job, device

    def _read(self) -> Job:
        if not self.paths.root.is_dir():
            raise PlatformError(
                f"there is no folder {self.paths.root}: mount the job's tree there, or name it in "
                "SAGEMAKER_BASE_DIR"
            )
        job = Job.read(self.paths, _slug())
        self.algorithm = job.algorithm
        memory.require_program(job.algorithm.compute.memory << 20, f"training of {job.algorithm.title}")
        reporting.set_level("warning" if self.local else job.engine.log_level)
        provided = str(self.paths.config / "hyperparameters.json")
        defaults = {
            spec.name: spec.default for spec in fields(job.algorithm.hyperparameters) if not spec.required
        }
        reporting.configuration(job.algorithm, defaults, job.raw, provided, job.hyperparameters)
        if job.hosts.rank == 0:
            _require_writable(self.paths.model)
        return job

    def _setting(self, job: Job, device: str, scratch: Path) -> Setting:
        warm = job.warm_start and incremental.unpack(job.warm_start, job.algorithm.slug, scratch)
        tuned = job.engine.tuning_objective_metric
        names = tuple(job.channels)
        auxiliary = {
            name: Source(channel, lambda: self.stop.requested)
            for name, channel in job.channels.items()
            if channel.spec.role == "auxiliary"
        }
        return Setting(
            job.hyperparameters,
            self.cluster,
            device,
            _seed(job),
            warm,
            names,
            tuned,
            auxiliary,
            job.pretrained,
            (job.checkpoints if job.checkpoints.is_dir() else scratch)
            / f"{job.algorithm.slug}-{self.cluster.rank}.store",
            stopped=lambda: self.stop.requested,
        )

    def _fit(self, job: Job, device: str, scratch: Path) -> None:
        """Train with a library that owns its loop."""
        assert job.algorithm.training.fit is not None

        def publish(model: Model) -> None:
            if self.cluster.rank == 0:
                self._publish(model)

        run = Run(
            self._setting(job, device, scratch),
            {
                name: self._table(channel, job.algorithm, scratch)
                for name, channel in job.channels.items()
                if channel.spec.role != "auxiliary"
            },
            job.checkpoints if job.checkpoints.is_dir() else None,
            self.paths.output_data,
            stopped=lambda: self.stop.requested,
            report=self.out.plain if self.cluster.rank == 0 else lambda line: None,
            publish=publish,
        )
        with self.cluster.watched(self._give_up):
            model = job.algorithm.training.fit(run)
        if model is None:
            log.info("There is no model: the model folder stays empty")
        else:
            publish(model)

    def _table(self, channel: Channel, algorithm: Algorithm, scratch: Path) -> Table:
        from optml.container.rows import Rows
        from optml.container.spill import Spill
        from optml.formats.blocks import BLOCK_BYTES

        return Rows(
            channel,
            width=None,
            batch_size=None,
            cluster=self.cluster,
            sparse=True,
            label_size=channel.spec.label_size,
            columns=self.columns,
            missing=algorithm.training.missing,
            ragged=True,
            stopped=lambda: self.stop.requested,
            spill=Spill(scratch),
            block_bytes=4 * BLOCK_BYTES,  # each costs such a library a call and a wait in each of its passes
        )

    def _loop(self, job: Job, device: str, scratch: Path) -> Loop:
        """Everything that the training loop needs, made from the job."""
        algorithm, cluster = job.algorithm, self.cluster
        assert algorithm.training.learner is not None
        setting = self._setting(job, device, scratch)
        validation = self._data(job, "validation", setting, scratch)
        tests = self._data(job, "test", setting, scratch)
        (train,) = self._data(job, "train", setting, scratch).values()
        depth = algorithm.training.prefetch
        plan = Plan(
            train=self._ahead(train, depth) if depth else train,
            validation=validation,
            final=validation if algorithm.training.scored_on_validation else {},
            test=tests,
            tests=[spec.name for spec in algorithm.training.channels if spec.role == "test"],
            epochs=_role(job, "epochs") if algorithm.training.roles.epochs else 1,
            updates=_role(job, "updates"),
            checkpoint_every=number("OPTML_CHECKPOINT_SECONDS", 60.0),
            objective=job.engine.tuning_objective_metric,
        )
        facts = fingerprint(
            algorithm=algorithm.slug,
            hyperparameters=job.hyperparameters.model_dump(mode="json"),
            seed=setting.seed,
            processes=cluster.size,
        )
        with self.stop.at_once():  # some read the channel now, and none has anything to save yet
            learner = algorithm.training.learner(replace(setting, train=train, tests=tests))
        return Loop(
            learner,
            plan,
            cluster=cluster,
            report=Report(
                algorithm,
                self.out,
                host=cluster.host,
                leader=cluster.rank == 0,
                epochs=plan.epochs,
                began=self.began,
            ),
            checkpoints=Checkpoints(
                job.checkpoints if job.checkpoints.is_dir() else None,
                scratch,
                name=f"{algorithm.slug}-{cluster.rank}",
                fingerprint=facts,
            ),
            stop=self.stop,
            publish=self._publish,
            columns=self.columns,
        )

    def _data(self, job: Job, role: str, setting: Setting, scratch: Path) -> dict[str, Data]:
        """The given channels of a role."""
        channels = {name: channel for name, channel in job.channels.items() if channel.spec.role == role}
        if job.algorithm.training.data is not None:
            return {
                name: job.algorithm.training.data(Source(channel, lambda: self.stop.requested), setting)
                for name, channel in channels.items()
            }
        from optml.container.rows import Rows
        from optml.container.spill import Spill

        repeated = (_role(job, "epochs") or 1) > 1 and role != "test"
        run = size = _role(job, "batch_size")
        if (
            job.algorithm.training.batch_rows is not None
        ):  # whatever is read at once, hosts share mini-batches out
            size = job.algorithm.training.batch_rows(job.hyperparameters)
        width = _role(job, "width")
        return {
            name: Rows(
                channel,
                width=width if isinstance(width, int) else None,
                batch_size=size if isinstance(size, int) else BATCH_SIZE,
                run=run if isinstance(run, int) else None,
                cluster=self.cluster,
                sparse=job.algorithm.training.sparse,
                label_size=channel.spec.label_size,
                columns=self.columns,
                missing=job.algorithm.training.missing,
                stopped=lambda: self.stop.requested,
                spill=Spill(scratch) if repeated else None,
            )
            for name, channel in channels.items()
        }

    def _ahead(self, data: Data, depth: int) -> Data:
        from optml.container.readahead import Ahead

        return Ahead(data, depth, lambda: self.stop.requested)

    def _publish(self, model: Model) -> None:
        outputs.publish(model, self.paths.model)

    def _explain(self, error: Exception) -> Failure:
        known = self.algorithm.hyperparameters.model_fields if self.algorithm else ()
        return errors.explain(error, known)

    def _fail(self, error: Exception) -> int:
        """Tell the other hosts; then the log, whose last line is the reason; then the failure file."""
        failure = self.cluster.tell(self._explain(error))
        if self.local:
            return failure.exit_code
        self._end_others()
        if failure.traceback:
            log.error("%s", failure.traceback)
        self.out.last(failure.line)
        errors.write(failure, self.paths.failure)
        return failure.exit_code

    def _give_up(self, error: Exception) -> None:
        """End the process, whose main thread waits for another one in a library's collective."""
        code = self._fail(error)
        sys.stdout.flush()
        os._exit(code)

    def _start_others(self, size: int) -> None:
        """Start this host's processes for its other GPUs; they find the first one by `cluster.connect`."""
        command = [sys.executable, "-m", "optml.container", "train"]
        for rank in range(1, size):
            environment = os.environ | {LOCAL_RANK: str(rank), LOCAL_SIZE: str(size)}
            self.others.append(subprocess.Popen(command, env=environment))

    def _end_others(self) -> None:
        """Wait for this host's other processes, which end when this one does."""
        for process in self.others:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            process.kill()
            process.wait()
        self.others = []


def _slug() -> str:
    """The algorithm to train: `OPTML_ALGORITHM`, which images of one algorithm set."""
    slug = registry.chosen(os.environ)
    if slug:
        return slug
    available = registry.available()
    if len(available) == 1:
        return available[0]
    raise UserError(
        "this image holds several algorithms: set the environment variable OPTML_ALGORITHM to one of "
        + ", ".join(available)
    )


def _seed(job: Job) -> int:
    """The seed of the algorithm's own hyperparameter where it has one and it was given, else OPTML_SEED."""
    name = job.algorithm.training.roles.seed
    value = _role(job, "seed")
    return value if isinstance(value, int) and name in job.hyperparameters.model_fields_set else job.seed


def _role(job: Job, role: str) -> Any:
    """The value of the hyperparameter that plays a role (`algorithms.base.Roles`)."""
    return job.algorithm.training.roles.value(role, job.hyperparameters)


def _require_writable(folder: Path) -> None:
    """Better now than after hours of training. Raises PlatformError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        outputs.clean(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PlatformError(f"the model folder {folder} cannot be written: {error.strerror}") from error
