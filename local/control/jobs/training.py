"""One training job, from its request to its artifacts, whoever is killed in between."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from optml import cpus
from optml.errors import UserError
from optml.local.control.errors import ApiError
from optml.local.control.jobs import artifacts, channels, lifecycle, metrics
from optml.local.control.jobs.logs import Follower
from optml.local.control.jobs.supervised import Supervised, VanishedError
from optml.local.control.programs import metric_definitions
from optml.local.control.resources import Resource
from optml.local.control.s3.objects import split

if TYPE_CHECKING:
    from optml.local.control.context import Context

log = logging.getLogger(__name__)

POLL = 0.1  # seconds between looks at a running job
SYNC = 5.0  # seconds between uploads of checkpoints
_MAX_REASON = 1024
_KINDS = ("ClientError", "AlgorithmError", "PlatformError", "InternalServerError")

# What is kept of a request and not acted on.
IGNORED = (
    "DebugHookConfig", "DebugRuleConfigurations", "ProfilerConfig", "ProfilerRuleConfigurations", "VpcConfig",
    "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "TensorBoardOutputConfig",
)  # fmt: skip


class TrainingRun:
    """What the control plane does about one job. `run` may be called for a job in any state, and again after
    a kill: each step looks at the job's folder for what was done before."""

    def __init__(self, context: Context, job: Resource) -> None:
        self._context = context
        self._name = job.name
        self._job = job
        self._request = job.request
        self._folder = context.home.job("training", job.name)
        self._supervised = Supervised(self._folder, "optml.local.control.jobs.supervisor")
        self._synced: dict[str, tuple[int, int]] = {}  # checkpoint -> time and size of what was uploaded

    @property
    def started(self) -> bool:
        return self._supervised.started

    def run(self, closing: threading.Event) -> None:
        """Bring the job to its end; returns early, the job running on, once `closing` is set."""
        try:
            if not self.started and not self._start():
                return
            outcome = self._follow(closing)
            if outcome is not None:
                self._finish(outcome)
        except (UserError, ApiError) as error:
            self._fail(f"ClientError: {error}")
        except VanishedError as error:
            self._fail(f"InternalServerError: {error}")
        except Exception as error:
            log.exception("training job %s", self._name)
            self._fail(f"InternalServerError: {type(error).__name__}: {error}")

    def stop(self) -> None:
        self._supervised.stop()

    # Starting

    def _start(self) -> bool:
        """Lay out the data and start the supervisor; False: the job was stopped before."""
        resources = self._context.resources
        moved = lifecycle.advance(
            resources, self._name, "Downloading", only_from=("InProgress",), TrainingStartTime=time.time()
        )
        if moved is None:
            self._stopped_early()
            return False
        program = self._context.programs.of(self._request["AlgorithmSpecification"].get("TrainingImage", ""))
        algorithm = self._request["AlgorithmSpecification"]
        other = algorithm.get("ContainerEntrypoint") or algorithm.get("ContainerArguments", ["train"])
        if program.docker is None and other != ["train"]:
            raise UserError(
                "ContainerEntrypoint and ContainerArguments need Docker: this algorithm runs as a process "
                "here; `optml up --engine docker` runs its image"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in ("channels", "checkpoints", "ml", "model"):  # of a start that was killed
            shutil.rmtree(self._folder / leftover, ignore_errors=True)
        hosts = _hosts(self._request["ResourceConfig"])
        plan = channels.Job(
            self._folder, hosts, algorithm["TrainingInputMode"], self._request.get("RoleArn", "")
        )
        checkpoints = self._request.get("CheckpointConfig")
        if checkpoints:
            (self._folder / "checkpoints").mkdir()
            artifacts.fetch(checkpoints["S3Uri"], self._folder / "checkpoints", self._context.s3)
        self._context.s3.bucket(split(self._request["OutputDataConfig"]["S3OutputPath"])[0])
        spec = {
            "algorithm": program.slug or "",
            "hyperparameters": self._request.get("HyperParameters", {}),
            "channels": channels.prepare(self._request.get("InputDataConfig", ()), plan, self._context.s3),
            "docker": program.docker,
            "gpus": gpus(self._request["ResourceConfig"]) if program.docker else None,
            "command": [algorithm.get(f"Container{part}", []) for part in ("Entrypoint", "Arguments")],
            "hosts": hosts,
            "checkpoints": bool(checkpoints),
            "environment": self._environment(),
            "seconds": self._request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400),
            "warnings": _warnings(self._request),
        }
        if lifecycle.advance(resources, self._name, "Training", only_from=("InProgress",)) is None:
            self._stopped_early()
            return False
        self._supervised.start(spec)
        return True

    def _environment(self) -> dict[str, str]:
        threads = max(1, cpus.count() // self._context.slots)
        return {
            "OMP_NUM_THREADS": str(threads),
            "TRAINING_JOB_NAME": self._name,
            "TRAINING_JOB_ARN": self._job.arn,
            "AWS_REGION": self._job.arn.split(":")[3],
            **self._request.get("Environment", {}),
        }

    def _stopped_early(self) -> None:
        lifecycle.advance(
            self._context.resources, self._name, "Stopped", status="Stopped", only_from=("Stopping",)
        )

    # Running

    def _follow(self, closing: threading.Event) -> dict[str, Any] | None:
        """Take in the log until the supervisor has ended, and what came of it; None: `closing` came first."""
        reader = metrics.Reader(self._name, self._definitions())
        followers: dict[str, Follower] = {}
        synced = time.monotonic()
        while True:
            outcome = self._supervised.outcome()  # asked before the log is read: then all of it is there
            for path in sorted((self._folder / "log").glob("*.log")):
                follower = followers.setdefault(path.stem, Follower(path))
                values = [
                    value
                    for event in follower.read()
                    for value in reader.read(path.stem, event.number, event.time, event.text)
                ]
                metrics.store(values, self._context.database)
            if outcome is not None:
                return outcome
            if time.monotonic() - synced > SYNC:
                self._upload_checkpoints()
                synced = time.monotonic()
            if closing.wait(POLL):
                return None

    def _definitions(self) -> list[dict[str, str]]:
        own: list[dict[str, str]] | None = self._request["AlgorithmSpecification"].get("MetricDefinitions")
        program = self._context.programs.of(self._request["AlgorithmSpecification"].get("TrainingImage", ""))
        if own is None and program.slug is not None:
            own = metric_definitions(program.slug)
            self._context.resources.update("TrainingJob", self._name, MetricDefinitions=own)
        return own or []

    # Ending

    def _finish(self, outcome: dict[str, Any]) -> None:
        resources, stopped = self._context.resources, outcome["stopped"]
        lifecycle.advance(resources, self._name, "Uploading", TrainingEndTime=outcome["ended"])
        state = self._upload(outcome)
        if stopped == "runtime":
            lifecycle.advance(resources, self._name, "MaxRuntimeExceeded", status="Stopped", **state)
        elif stopped:
            lifecycle.advance(resources, self._name, "Stopped", status="Stopped", **state)
        elif outcome["code"]:
            reason = _reason(outcome)
            lifecycle.advance(
                resources,
                self._name,
                "Failed",
                status="Failed",
                message=reason,
                FailureReason=reason,
                **state,
            )
        else:
            lifecycle.advance(resources, self._name, "Completed", status="Completed", **state)
        for folder in ("channels", "checkpoints", "model"):  # in S3 by now
            shutil.rmtree(self._folder / folder, ignore_errors=True)

    def _upload(self, outcome: dict[str, Any]) -> dict[str, Any]:
        """Put the artifacts into S3; what the description says of them."""
        store, output = self._context.s3, self._request["OutputDataConfig"]
        base = f"{output['S3OutputPath'].rstrip('/')}/{self._name}/output"
        model = artifacts.files(self._folder / "model")
        hosts = sorted((self._folder / "ml").glob("algo-*"), key=lambda path: int(path.name[5:]))
        data = artifacts.merged([host / "output" / "data" for host in hosts])
        plain = output.get("CompressionType") == "NONE"
        if plain:
            artifacts.put_files(model.items(), f"{base}/model", store)
            artifacts.put_files(data.items(), f"{base}/output", store)
        else:
            if model or not outcome["code"]:
                artifacts.put_archive(model, f"{base}/model.tar.gz", store)
            if data:
                artifacts.put_archive(data, f"{base}/output.tar.gz", store)
        self._upload_checkpoints()
        place = f"{base}/model/" if plain else f"{base}/model.tar.gz"
        started = self._context.resources.get("TrainingJob", self._name)
        begun = started.state.get("TrainingStartTime", outcome["ended"]) if started else outcome["ended"]
        seconds = max(1, round(outcome["ended"] - begun))
        state: dict[str, Any] = {
            "TrainingEndTime": outcome["ended"],
            "TrainingTimeInSeconds": seconds,
            "BillableTimeInSeconds": seconds,
        }
        if model or not outcome["code"]:
            state["ModelArtifacts"] = {"S3ModelArtifacts": place}
        return state

    def _upload_checkpoints(self) -> None:
        """Those that are new or have changed."""
        checkpoints = self._request.get("CheckpointConfig")
        if not checkpoints:
            return
        changed = []
        for name, path in artifacts.files(self._folder / "checkpoints").items():
            with suppress(FileNotFoundError):
                state = path.stat()
                if self._synced.get(name) != (state.st_mtime_ns, state.st_size):
                    self._synced[name] = (state.st_mtime_ns, state.st_size)
                    changed.append((name, path))
        with suppress(FileNotFoundError):  # removed meanwhile: the next look finds what replaced it
            artifacts.put_files(changed, checkpoints["S3Uri"], self._context.s3)

    def _fail(self, reason: str) -> None:
        reason = reason[:_MAX_REASON]
        lifecycle.advance(
            self._context.resources,
            self._name,
            "Failed",
            status="Failed",
            message=reason,
            only_from=("InProgress", "Stopping"),
            FailureReason=reason,
            TrainingEndTime=time.time(),
        )


def _reason(outcome: dict[str, Any]) -> str:
    text = outcome["failure"] or f"AlgorithmError: , exit code: {outcome['code']}"
    if not text.startswith(_KINDS):
        text = f"AlgorithmError: {text}"
    return str(text[:_MAX_REASON])


def _hosts(resources: dict[str, Any]) -> int:
    groups = resources.get("InstanceGroups") or [resources]
    return sum(group.get("InstanceCount", 1) for group in groups)


def gpus(resources: dict[str, Any]) -> str | None:
    """What `docker run --gpus` is told for an instance type that has some, where this machine has one."""
    groups = resources.get("InstanceGroups") or [resources]
    wanted = any(
        str(group.get("InstanceType", "")).startswith(("ml.p", "ml.g", "local_gpu")) for group in groups
    )
    return "all" if wanted and shutil.which("nvidia-smi") else None


def _warnings(request: dict[str, Any]) -> list[str]:
    named = [name for name in IGNORED if request.get(name)]
    return [f"kept, and not acted on here: {', '.join(named)}"] if named else []
