"""The Docker engine, an image of this tree, and jobs and servers in containers of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS = 1800


def docker(*arguments: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the docker program; what it says on stderr is in the error where it fails."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise AssertionError(
            f"docker {' '.join(arguments)} exited {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done


def missing_engine() -> str | None:
    """Why there is no Docker engine to talk to; None if there is one."""
    if shutil.which("docker") is None:
        return "needs a Docker engine: there is no docker program"
    if docker("info", check=False).returncode:
        return "needs a Docker engine: docker info does not answer"
    return None


def build(dockerfile: str, algorithm: str) -> str:
    """Build an image of this tree, layers from earlier builds included, and return its name."""
    name = f"optml/{algorithm}:test"
    arguments = ["--build-arg", f"ALGORITHM={algorithm}"]
    if "TORCH_INDEX" in os.environ:  # as for make: emptied where PyTorch's index is out of reach
        arguments += ["--build-arg", f"TORCH_INDEX={os.environ['TORCH_INDEX']}"]
    docker("build", *arguments, "-f", str(ROOT / dockerfile), "-t", name, str(ROOT), timeout=BUILD_SECONDS)
    return name


@dataclass
class Job:
    """One training job: the /opt/ml tree on this host that a container is handed."""

    root: Path
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Mapping[str, bytes]]  # channel -> file name -> content
    content_types: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ("algo-1",)
    host: str = "algo-1"

    def __post_init__(self) -> None:
        config = self.root / "input" / "config"
        for folder in (config, self.model, self.root / "output" / "data"):
            folder.mkdir(parents=True)
        for channel, files in self.channels.items():
            for name, content in files.items():
                path = self.root / "input" / "data" / channel / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        inputs = {name: {"TrainingInputMode": "File"} for name in self.channels}
        for name, content_type in self.content_types.items():
            inputs[name]["ContentType"] = content_type
        cluster = {"current_host": self.host, "hosts": list(self.hosts), "network_interface_name": "eth0"}
        (config / "hyperparameters.json").write_text(json.dumps(dict(self.hyperparameters)))
        (config / "inputdataconfig.json").write_text(json.dumps(inputs))
        (config / "resourceconfig.json").write_text(json.dumps(cluster))

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def failure(self) -> str:
        path = self.root / "output" / "failure"
        return path.read_text() if path.exists() else ""

    def mount(self) -> list[str]:
        return ["-v", f"{self.root}:/opt/ml"]

    def run(
        self, image: str, *command: str, options: tuple[str, ...] = ("--network", "none")
    ) -> subprocess.CompletedProcess[str]:
        """The container from start to exit. Without the network, which no job needs on one host."""
        return docker("run", "--rm", *options, *self.mount(), image, *command, check=False)


@contextmanager
def container(image: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[str]:
    """The id of a container that runs in the background; removed at the end."""
    name = docker("run", "-d", *options, image, *command).stdout.strip()
    try:
        yield name
    finally:
        docker("rm", "-f", "-v", name)


def logs(name: str) -> str:
    done = docker("logs", name)
    return done.stdout + done.stderr


def wait_for_log(name: str, text: str, seconds: float = 60) -> None:
    """Until a container has printed `text`."""
    limit = time.monotonic() + seconds
    while text not in logs(name):
        assert time.monotonic() < limit, f"no {text!r} in {seconds} s:\n{logs(name)}"
        time.sleep(0.2)


@dataclass(frozen=True)
class Server:
    name: str
    url: str

    def ping(self) -> int:
        """The status of GET /ping; 0 where nobody listens yet."""
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def invoke(self, body: bytes, content_type: str, accept: str = "application/json") -> bytes:
        headers = {"Content-Type": content_type, "Accept": accept}
        request = urllib.request.Request(f"{self.url}/invocations", data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
            return content


@contextmanager
def server(image: str, model: Path, *options: str, port: int = 8080) -> Iterator[Server]:
    """A container that serves the model folder, from when /ping answers 200."""
    mounted = ("-v", f"{model}:/opt/ml/model:ro", "-p", f"127.0.0.1::{port}", *options)
    with container(image, "serve", options=mounted) as name:
        address = docker("port", name, str(port)).stdout.split()[-1]
        serving = Server(name, f"http://{address}")
        limit = time.monotonic() + 60
        while serving.ping() != 200:
            assert time.monotonic() < limit, f"no ping in 60 s:\n{logs(name)}"
            time.sleep(0.1)
        yield serving
