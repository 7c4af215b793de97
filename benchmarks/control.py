"""The control plane: `python -m benchmarks.control [PART ...]`.

start   seconds until the first answer of `optml up`.
s3      1 GB up and down through boto3's transfer manager, beside a bare socket-to-file copy by processes of
        the same kind; the control plane's memory; 10,000 keys listed.
proxy   an invocation through the control plane over the container itself: alone, and of 64 connections.
jobs    100 jobs at once: order, slots, memory, how long a Describe takes meanwhile.
kills   SIGKILL of the control plane at random moments while two jobs train and an endpoint serves; restarted,
        both jobs must leave the bytes that an undisturbed run leaves, and the endpoint must answer.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.environment import environment

GIGABYTE = 1 << 30
KEYS, JOBS, KILLS, CONNECTIONS = 10_000, 100, 20, 64
IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
ROLE = "arn:aws:iam::123456789012:role/optml"
ROW = ",".join(["0.25"] * 20).encode() + b"\n"


class Plane:
    """`optml up` as a process."""

    def __init__(self, home: Path, *words: str) -> None:
        self._home, self._words = home, words
        self.port = 0
        self.start()

    def start(self) -> None:
        began = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "optml.local.cli",
            "up",
            "--engine",
            "process",
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen(
            [*command, *self._words],
            env={**os.environ, "OPTML_HOME": str(self._home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[3].rstrip(",")
        self.port = int(self.url.rpartition(":")[2])
        self.client("sagemaker").list_models()
        self.seconds = time.perf_counter() - began

    def client(self, service: str) -> Any:
        config = Config(max_pool_connections=16, retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.client(service, endpoint_url=self.url, config=config, **keys)

    def memory(self) -> float:
        """The most that the process has had, MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1000

    def stop(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait()


@contextmanager
def up(*words: str) -> Iterator[Plane]:
    with tempfile.TemporaryDirectory(prefix="optml-control-") as folder:
        plane = Plane(Path(folder), *words)
        try:
            yield plane
        finally:
            plane.stop()


def start() -> dict[str, Any]:
    seconds = []
    for _ in range(5):
        with up() as plane:
            seconds.append(plane.seconds)
    return {"seconds": statistics.median(seconds)}


def s3() -> dict[str, Any]:
    """Rates in MB/s; each the best of three, in turns."""
    rates: dict[str, list[float]] = {"copy": [], "up": [], "down": []}
    with up() as plane, tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        with source.open("wb") as file:
            for _ in range(GIGABYTE >> 24):
                file.write(os.urandom(1 << 24))
        client = plane.client("s3")
        client.create_bucket(Bucket="bkt")
        for _ in range(3):
            rates["copy"].append(_rate(lambda: _copied(source, target)))
            rates["up"].append(_rate(lambda: client.upload_file(str(source), "bkt", "big")))
            rates["down"].append(_rate(lambda: client.download_file("bkt", "big", str(target))))
            assert _digest(source) == _digest(target)
        memory = plane.memory()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: client.put_object(Bucket="bkt", Key=f"k/{n:05}", Body=b""), range(KEYS)))
        began = time.perf_counter()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="bkt", Prefix="k/")
        assert sum(len(page["Contents"]) for page in pages) == KEYS
        listed = time.perf_counter() - began
    best = {name: max(found) for name, found in rates.items()}
    ratios = {f"{name} / copy": best[name] / best["copy"] for name in ("up", "down")}
    return {**best, **ratios, "memory, MB": memory, "seconds for 10,000 keys": listed}


def _rate(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return GIGABYTE / 1e6 / (time.perf_counter() - began)


def _copied(source: Path, target: Path) -> None:
    """A file to another process and from there to a file, in the plainest way that Python has."""
    code = (
        "import socket, sys\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "print(server.getsockname()[1], flush=True)\n"
        "connection = server.accept()[0]\n"
        "with open(sys.argv[1], 'wb') as file:\n"
        "    while piece := connection.recv(1 << 18):\n"
        "        file.write(piece)\n"
        "connection.sendall(b'.')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        with socket.create_connection(("127.0.0.1", int(other.stdout.readline()))) as connection:
            with source.open("rb") as file:
                while piece := file.read(1 << 18):
                    connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Work:
    """Jobs, models and endpoints of K-Means on a little data."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.acknowledged: set[str] = set()
        self.client = plane.client("sagemaker")
        s3 = plane.client("s3")
        s3.create_bucket(Bucket="work")
        rows = np.random.default_rng(0).normal(size=(20_000, 20)).astype("float32")
        body = "\n".join(",".join(f"{value:.4f}" for value in row) for row in rows)
        s3.put_object(Bucket="work", Key="train/rows.csv", Body=body.encode())

    def job(self, name: str, epochs: int = 1) -> None:
        source = {"S3DataType": "S3Prefix", "S3Uri": "s3://work/train/"}
        channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
        self.client.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            RoleArn=ROLE,
            HyperParameters={"k": "10", "feature_dim": "20", "mini_batch_size": "500", "epochs": str(epochs)},
            InputDataConfig=[{**channel, "ContentType": "text/csv;label_size=0"}],
            OutputDataConfig={"S3OutputPath": "s3://work/out"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
        )

    def ended(self, name: str) -> Any:
        while (job := self.client.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] not in (
            "Completed",
            "Failed",
            "Stopped",
        ):
            time.sleep(0.1)
        return job

    def artifact(self, name: str) -> str:
        job = self.ended(name)
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        key = job["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
        body = self.plane.client("s3").get_object(Bucket="work", Key=key)["Body"].read()
        return hashlib.sha256(body).hexdigest()

    def endpoint(self, job: str) -> None:
        url = self.ended(job)["ModelArtifacts"]["S3ModelArtifacts"]
        container = {"Image": IMAGE, "ModelDataUrl": url}
        self.client.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
        variant = {
            "VariantName": "v",
            "ModelName": "m",
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }
        self.client.create_endpoint_config(EndpointConfigName="e", ProductionVariants=[variant])
        self.client.create_endpoint(EndpointName="e", EndpointConfigName="e")
        while self.client.describe_endpoint(EndpointName="e")["EndpointStatus"] != "InService":
            time.sleep(0.1)


def proxy() -> dict[str, Any]:
    """Medians in ms, rates in requests/s: by turns, through the control plane and at the container itself."""
    with up() as plane:
        work = Work(plane)
        work.job("trained")
        work.endpoint("trained")
        own = _port_of_the_server(plane)
        places = {"through": (plane.port, "/endpoints/e/invocations"), "direct": (own, "/invocations")}
        medians: dict[str, list[float]] = {name: [] for name in places}
        rates: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(5):
            for name, place in places.items():
                medians[name].append(statistics.median(_times(place, 400)) * 1000)
        for _ in range(3):
            for name, place in places.items():
                rates[name].append(_load(place, 4.0))
    median = {name: statistics.median(found) for name, found in medians.items()}
    rate = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "median through": median["through"],
        "median direct": median["direct"],
        "more": median["through"] - median["direct"],
        "rate through": rate["through"],
        "rate direct": rate["direct"],
        "rate, through / direct": rate["through"] / rate["direct"],
    }


def _port_of_the_server(plane: Plane) -> int:
    """That of the one `serve` below the control plane's process."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            variables = (path / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"optml.container" in words and b"serve" in words:
            for variable in variables:
                if variable.startswith(b"SAGEMAKER_BIND_TO_PORT="):
                    return int(variable.partition(b"=")[2])
    raise RuntimeError("there is no server")


def _times(place: tuple[int, str], count: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", place[0])
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        connection.request("POST", place[1], ROW, {"Content-Type": "text/csv"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        seconds.append(time.perf_counter() - began)
    return seconds


def _load(place: tuple[int, str], seconds: float) -> float:
    """Requests a second of 64 connections, from one process that does nothing but send and count."""
    import selectors

    request = (
        f"POST {place[1]} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n"
        f"Content-Length: {len(ROW)}\r\n\r\n"
    ).encode() + ROW
    chosen = selectors.DefaultSelector()
    connections = [socket.create_connection(("127.0.0.1", place[0])) for _ in range(CONNECTIONS)]
    for connection in connections:
        chosen.register(connection, selectors.EVENT_READ)
        connection.sendall(request)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for key, _ in chosen.select(0.1):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            answer = connection.recv(1 << 16)
            if b"}]}" in answer or b"0\r\n\r\n" in answer:  # the end of the one answer there is
                done += 1
                connection.sendall(request)
    rate = done / (time.perf_counter() - began)
    for connection in connections:
        connection.close()
    return rate


def jobs() -> dict[str, Any]:
    with up("--slots", "1") as plane:
        work = Work(plane)
        names = [f"job-{number:03}" for number in range(JOBS)]
        began = time.perf_counter()
        for name in names:
            work.job(name)
        created = time.perf_counter() - began
        work.client.stop_training_job(TrainingJobName=names[50])
        assert work.client.describe_training_job(TrainingJobName=names[50])["TrainingJobStatus"] == "Stopped"
        describes: list[float] = []
        over = threading.Event()

        def ask() -> None:
            client, draw = plane.client("sagemaker"), random.Random(0)
            while not over.wait(0.02):
                asked = time.perf_counter()
                client.describe_training_job(TrainingJobName=draw.choice(names))
                describes.append(time.perf_counter() - asked)

        asker = threading.Thread(target=ask)
        asker.start()
        ended = [work.ended(name) for name in names]
        seconds = time.perf_counter() - began
        over.set()
        asker.join()
        statuses = [job["TrainingJobStatus"] for job in ended]
        ran = [job for job in ended if job["TrainingJobStatus"] == "Completed"]
        assert statuses.count("Completed") == JOBS - 1
        for before, after in pairwise(ran):
            assert before["TrainingEndTime"] <= after["TrainingStartTime"]
        return {
            "seconds to create": created,
            "seconds in all": seconds,
            "Describe, p99, ms": float(np.percentile(describes, 99)) * 1000,
            "Describe, median, ms": float(np.median(describes)) * 1000,
            "memory, MB": plane.memory(),
        }


def kills(rounds: int = KILLS) -> dict[str, Any]:
    draw = random.Random(0)
    with up("--slots", "2") as plane:
        work = Work(plane)
        work.job("undisturbed", epochs=30)
        expected = work.artifact("undisturbed")
        work.endpoint("undisturbed")
        took = []
        for number in range(rounds):
            names = [f"killed-{number}-{each}" for each in "ab"]
            created = [threading.Thread(target=_tolerant, args=(work, name)) for name in names]
            for thread in created:
                thread.start()
            time.sleep(draw.uniform(0, 3))
            plane.stop(signal.SIGKILL)
            for thread in created:
                thread.join()
            plane.start()
            took.append(plane.seconds)
            known = {
                job["TrainingJobName"]
                for job in work.client.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
            }
            for name in names:
                if name in known:  # what was acknowledged is there: see `_tolerant`
                    assert work.artifact(name) == expected, name
                assert name in known or name not in work.plane.__dict__.setdefault("acknowledged", set())
            answer = plane.client("sagemaker-runtime").invoke_endpoint(
                EndpointName="e", Body=ROW, ContentType="text/csv"
            )
            assert answer["Body"].read()
    return {"kills": rounds, "lost": 0, "restart, seconds": statistics.median(took)}


def _tolerant(work: Work, name: str) -> None:
    """Create a job; the kill may come first, in which case nothing was promised."""
    try:
        work.job(name, epochs=30)
        work.acknowledged.add(name)
    except (BotoCoreError, ClientError):
        pass


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "start": start,
    "s3": s3,
    "proxy": proxy,
    "jobs": jobs,
    "kills": kills,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--out", type=Path, help="folder for control-cpu.json")
    given = parser.parse_args()
    results: dict[str, Any] = {}
    for name in given.parts or PARTS:
        results[name] = PARTS[name]()
        print(f"{name}:")
        for what, value in results[name].items():
            print(f"  {what:28} {value:10.3f}" if isinstance(value, float) else f"  {what:28} {value:10}")
        sys.stdout.flush()
    if given.out:
        path = given.out / "control-cpu.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**known, **results, "environment": environment()}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
