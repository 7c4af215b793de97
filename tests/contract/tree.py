"""An /opt/ml tree for a test, and `train` run on it as a real process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from optml.local.ports import free_port
from tests.contract import forks

ROOT = Path(__file__).resolve().parents[2]
TOY = ("-m", "tests.contract.toy")
HOSTS = ("127.0.0.1", "localhost")  # two names of this machine, in the order of their ranks

Process: TypeAlias = "subprocess.Popen[str] | forks.Forked"

STARTED: list[Process] = []  # conftest.py ends those that a failed test leaves behind


@dataclass(frozen=True)
class Ended:
    code: int
    log: str

    @property
    def messages(self) -> list[str]:
        """The lines without AWS's prefix."""
        return [re.sub(r"^\[\d\d/.*? [A-Z]+ \d+\] ", "", line) for line in self.log.splitlines()]

    @property
    def last(self) -> str:
        return self.messages[-1]


@dataclass
class Tree:
    root: Path

    def write(self, name: str, content: object) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def hyperparameters(self, **values: object) -> None:
        self.write("input/config/hyperparameters.json", {name: str(value) for name, value in values.items()})

    def numbers(self, channel: str, *values: object) -> None:
        self.write(f"input/data/{channel}/a.csv", "\n".join(map(str, values)) + "\n")

    def checkpoints(self) -> Path:
        folder = self.root / "checkpoints"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def failure(self) -> str:
        return (self.root / "output/failure").read_text()

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def state(self) -> float:
        """The state of the toy's model."""
        return float((self.model / "weights").read_text())

    def start(
        self, *command: str, runner: Sequence[str] = (), fresh: bool = False, **environment: str
    ) -> Process:
        """Start a program on the tree, forked where it may be; fresh: with a Python of its own."""
        process: Process
        words, env = command or TOY, os.environ | {"SAGEMAKER_BASE_DIR": str(self.root)} | environment
        if forks.SUPPORTED and not runner and not fresh:
            process = forks.Forked(words, env)
        else:
            process = subprocess.Popen(
                [*runner, sys.executable, *words],
                cwd=ROOT,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        STARTED.append(process)
        return process

    @contextmanager
    def held(self, checkpoint: str, *hosts: Tree, **environment: str) -> Iterator[list[Process]]:
        """`train` on this tree, and on those of the other hosts: held within, once this one has written a
        checkpoint of such a name. What it is sent meanwhile finds it there, however fast it is."""
        fifo = self.root / "held"
        os.mkfifo(fifo)
        environment = {"OPTML_CHECKPOINT_SECONDS": "0"} | environment
        processes = [self.start("-m", "tests.contract.held", checkpoint, str(fifo), **environment)]
        processes += [tree.start("-m", "tests.contract.held", **environment) for tree in hosts]
        while True:
            try:
                writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError:  # nobody reads it yet
                assert processes[0].poll() is None, processes[0].communicate()[0]
                time.sleep(0.01)
        try:
            yield processes
        finally:
            os.close(writer)
            fifo.unlink()

    def kill_at(self, checkpoint: str) -> None:
        """`train` on this tree, killed once it has written a checkpoint of such a name."""
        self.checkpoints()
        with self.held(checkpoint) as (process,):
            process.kill()
            assert end(process).code == -signal.SIGKILL

    def is_host(self, name: str, interface: str = "ethwe") -> None:
        """It stands for the host of that name among HOSTS; no machine of ours has AWS's interface."""
        content = {"current_host": name, "hosts": list(HOSTS), "network_interface_name": interface}
        self.write("input/config/resourceconfig.json", content)

    def train(self, *command: str, fresh: bool = False, **environment: str) -> Ended:
        return end(self.start(*command, fresh=fresh, **environment))


def end(process: Process, timeout: float = 100) -> Ended:
    """Wait for a process and take its log."""
    try:
        log, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        log, _ = process.communicate()
        raise AssertionError(f"still running after {timeout} s:\n{log}") from None
    return Ended(process.returncode, log)


def train_together(trees: Sequence[Tree], *command: str) -> list[Ended]:
    """`train` on the trees of HOSTS, at the same time, as hosts of one job."""
    for tree, name in zip(trees, HOSTS, strict=True):
        tree.is_host(name)
    port = str(free_port())
    return [end(process) for process in [tree.start(*command, OPTML_PORT=port) for tree in trees]]


def wait_for(folder: Path, pattern: str, count: int = 1) -> None:
    """Until so many files are there."""
    deadline = time.monotonic() + 100
    while len(list(folder.glob(pattern))) < count:
        assert time.monotonic() < deadline, f"no {pattern} in {folder}"
        time.sleep(0.01)


def read_until(process: Process, text: str) -> None:
    """Until the process has said so."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"ended without saying {text!r}")
