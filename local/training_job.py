"""A real training job, run on this machine as a process (or as a container) a host."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from types import TracebackType
from typing import IO, NamedTuple

from optml.container.paths import Paths
from optml.errors import PlatformError, UserError
from optml.local import tree
from optml.local.feeder import Feeder
from optml.local.ports import free_port
from optml.local.tree import Input

__all__ = ["Input", "Line", "TrainingJob"]

STOP_SECONDS = 120.0  # what SageMaker grants between SIGTERM and SIGKILL
_TAIL = 20  # lines


class Line(NamedTuple):
    """A line of the log, and the host that wrote it."""

    host: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """What a container runs: `ContainerEntrypoint` and `ContainerArguments` of a request."""

    entrypoint: Sequence[str] = ()
    arguments: Sequence[str] = ()

    def words(self, image: str) -> list[str]:
        """The end of a `docker run`. An entrypoint takes the place of the image's and of `train`, arguments
        that of `train`."""
        if not self.entrypoint:
            return [image, *(self.arguments or ("train",))]
        return ["--entrypoint", self.entrypoint[0], image, *self.entrypoint[1:], *self.arguments]


class TrainingJob:
    """`with TrainingJob("kmeans", {"k": "10"}, {"train": Input([path])}, model=folder) as job:` trains.

    Within, `for line in job.log():` follows the job to its end, and `job.wait()` is its exit code; who leaves
    before kills it.

    algorithm:   its slug.   hyperparameters: names and texts, as SageMaker hands them.
    inputs:      the channels by name, `model` of an incremental job among them.
    model:       the folder that becomes the artifact's; made if need be.
    checkpoints: the folder that they go to and come from; None: none are wanted.
    root:        where the hosts' trees are laid out, ROOT/algo-1 and so on; None: for the time of the job.
    docker:      the image that trains; None: this Python.   gpus: for docker run, such as "all".
    command:     what the image runs, entrypoint and arguments; None: its own with `train`.
    hosts:       so many processes or containers train together (SageMaker's InstanceCount).
    environment: variables for the job, on top of ours.

    Raises UserError for sources that are not there, PlatformError where nothing can be started.
    """

    def __init__(
        self,
        algorithm: str,
        hyperparameters: Mapping[str, str],
        inputs: Mapping[str, Input],
        *,
        model: Path,
        checkpoints: Path | None = None,
        root: Path | None = None,
        docker: str | None = None,
        gpus: str | None = None,
        command: Command | None = None,
        hosts: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._inputs = inputs
        self._model = model.resolve()
        self._checkpoints = checkpoints.resolve() if checkpoints else None
        self._docker = docker
        self._gpus = gpus
        self._command = command or Command()
        self._environment = {
            "OPTML_ALGORITHM": algorithm,
            "PYTHONUNBUFFERED": "1",
            **({} if docker or hosts == 1 else {"OPTML_PORT": str(free_port())}),
            **(environment or {}),
        }
        self._name = f"optml-train-{uuid.uuid4().hex[:12]}"
        self._stack = ExitStack()  # what is undone when the job is left
        self._hosts: list[_Host] = []
        self._feeders: list[Feeder] = []
        self._timers: list[threading.Timer] = []
        self._tail: deque[str] = deque(maxlen=_TAIL)
        if root is None:
            root = Path(tempfile.mkdtemp(prefix="optml-train-"))
            self._stack.callback(shutil.rmtree, root, ignore_errors=True)
        self.paths = tuple(Paths(root / f"algo-{number + 1}") for number in range(hosts))
        try:
            for rank, paths in enumerate(self.paths):
                tree.write_config(paths, hyperparameters, inputs, self._address(rank), self._addresses)
        except BaseException:
            self._stack.close()
            raise

    @property
    def _addresses(self) -> list[str]:
        return [self._address(rank) for rank in range(len(self.paths))]

    def _address(self, rank: int) -> str:
        """Where the other hosts find this one: containers by name, processes on the loopback network."""
        alone = len(self.paths) == 1
        return f"algo-{rank + 1}" if self._docker or alone else f"127.0.0.{rank + 1}"

    def __enter__(self) -> TrainingJob:
        try:
            self._model.mkdir(parents=True, exist_ok=True)
            if self._docker and len(self.paths) > 1:
                _docker("network", "create", self._name)
                self._stack.callback(_docker, "network", "rm", self._name)
            for rank in range(len(self.paths)):
                self._start(rank)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()
        self.kill()
        for host in self._hosts:
            host.process.wait()
            host.output.close()
        self._stack.close()

    def log(self) -> Iterator[Line]:
        """The lines of all hosts as they come, until every one has ended. For one reader, once."""
        with DefaultSelector() as selector:
            for host in self._hosts:
                selector.register(host.output, EVENT_READ, host)
            while selector.get_map():
                for key, _ in selector.select():
                    host = key.data
                    piece = os.read(key.fd, 1 << 16)
                    if not piece:
                        selector.unregister(key.fileobj)
                    for line in host.lines(piece):
                        self._tail.append(line.text)
                        yield line

    def wait(self) -> int:
        """The exit code, once all hosts have ended: of the first that failed; 128 + n of one that signal n
        ended. Somebody must read the log meanwhile: a full pipe blocks a job.

        Raises UserError or PlatformError where a source of a Pipe could not be read.
        """
        codes = [host.process.wait() for host in self._hosts]
        for feeder in self._feeders:
            if isinstance(feeder.failure, UserError):
                raise feeder.failure
            if feeder.failure is not None:
                raise PlatformError(f"cannot read a file of the data: {feeder.failure}")
        code = next((code for code in codes if code), 0)
        return code if code >= 0 else 128 - code

    @property
    def failure(self) -> str:
        """Why the job failed: what it has written to output/failure, else how it ended; "": it has not."""
        code = self.wait()
        for paths in self.paths:
            with suppress(OSError):
                if reason := paths.failure.read_text(errors="replace").strip():
                    return reason
        if not code:
            return ""
        # It died without a word: killed, or no image of ours.
        killed = " (killed; out of memory?)" if code == 128 + signal.SIGKILL else ""
        return f"training ended with exit code {code}{killed}; its last lines:\n" + "\n".join(self._tail)

    def terminate(self) -> bool:
        """Send SIGTERM, at which the model so far is saved; a second one ends at once. False: all hosts have
        ended before. Safe in a signal handler."""
        running = [host for host in self._hosts if host.process.poll() is None]
        for host in running:
            host.process.send_signal(signal.SIGTERM)
        return bool(running)

    def stop(self, grace: float = STOP_SECONDS) -> None:
        """SIGTERM now, and SIGKILL to what still runs after `grace` seconds; returns at once."""
        self.terminate()
        timer = threading.Timer(grace, self.kill)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def kill(self) -> None:
        """End all hosts and their processes at once."""
        for host in self._hosts:
            if host.process.poll() is None:
                host.kill()

    def _start(self, rank: int) -> None:
        paths = self.paths[rank]
        shares = {name: channel.of_host(rank, len(self.paths)) for name, channel in self._inputs.items()}
        places: dict[Path, Path] = {}
        for name, channel in self._inputs.items():
            if channel.mode == "File":
                places |= tree.placed(name, [share for share in shares[name] if isinstance(share, Path)])
                if not shares[name]:  # more hosts than files
                    (paths.data / name).mkdir()
        model = self._model if rank == 0 else paths.root / "model"  # the first host writes it
        container = f"{self._name}-{rank + 1}" if self._docker else None
        if container:
            model.mkdir(exist_ok=True)
            command = self._docker_command(container, rank, places, model)
            environment = {}
        else:
            tree.link(paths, places)
            if rank == 0:
                (paths.root / "model").symlink_to(model, target_is_directory=True)
            if self._checkpoints:
                paths.checkpoints.symlink_to(self._checkpoints, target_is_directory=True)
            command = [sys.executable, "-m", "optml.container", "train"]
            environment = {**self._environment, "SAGEMAKER_BASE_DIR": str(paths.root)}
        for name, channel in sorted(self._inputs.items()):
            if channel.mode == "Pipe":  # whose first FIFO is there before anybody looks for it
                feeder = Feeder(
                    paths.data,
                    name,
                    shares[name],
                    wrapped=channel.wrapper == "RecordIO",
                    shuffle=channel.shuffle,
                    on_failure=lambda error: self.kill(),
                )
                self._feeders.append(self._stack.enter_context(feeder))
        self._hosts.append(_Host(f"algo-{rank + 1}", command, environment, container))

    def _docker_command(
        self, container: str, rank: int, places: Mapping[Path, Path], model: Path
    ) -> list[str]:
        # As this user, so that the model is theirs; /tmp is the one place that is always writable.
        command = ["docker", "run", "--rm", "--name", container, "--user", f"{os.getuid()}:{os.getgid()}"]
        for name, value in {"HOME": "/tmp", **self._environment}.items():  # noqa: S108
            command += ["-e", f"{name}={value}"]
        if len(self.paths) > 1:
            command += ["--network", self._name, "--hostname", self._address(rank)]
            command += ["--network-alias", self._address(rank)]
        command += tree.docker_volumes(self.paths[rank], places, model, self._checkpoints)
        assert self._docker is not None
        command += ["--gpus", self._gpus] if self._gpus else []
        return [*command, *self._command.words(self._docker)]


class _Host:
    """One process that trains, in a session of its own: Ctrl-C reaches it through `terminate`, once."""

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], container: str | None
    ) -> None:
        self._name = name
        self._container = container
        self._rest = b""  # of the log, that is no whole line yet
        try:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise PlatformError(f"there is no program '{command[0]}' on this machine") from None
        assert self.process.stdout is not None
        self.output: IO[bytes] = self.process.stdout

    def lines(self, piece: bytes) -> Iterator[Line]:
        """The lines that end in the next piece of the log; b"" is its end."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if not piece and self._rest:
            whole, self._rest = [self._rest], b""
        for line in whole:
            yield Line(self._name, line.rstrip(b"\r").decode(errors="replace"))

    def kill(self) -> None:
        if self._container:  # which outlives the program that started it
            _docker("kill", self._container)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _docker(*words: str) -> None:
    with suppress(FileNotFoundError):
        subprocess.run(["docker", *words], capture_output=True, check=False)
