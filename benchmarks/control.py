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

import hashlib
import http.client
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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.environment import options, save
from benchmarks.plane import WIDTH, Plane, Work, up

GIGABYTE = 1 << 30
KEYS, JOBS, KILLS, CONNECTIONS = 10_000, 100, 20, 64
ROW = ",".join(["0.25"] * WIDTH).encode() + b"\n"


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
    best = {name: max(values) for name, values in rates.items()}
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
    median = {name: statistics.median(values) for name, values in medians.items()}
    rate = {name: statistics.median(values) for name, values in rates.items()}
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
        took: list[float] = []
        finished: set[str] = set()
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
            page = work.client.list_training_jobs(MaxResults=100, NameContains=f"killed-{number}-")
            known = {job["TrainingJobName"] for job in page["TrainingJobSummaries"]}
            assert work.acknowledged <= known | finished, work.acknowledged - known
            for name in known:
                assert work.artifact(name) == expected, name
            finished |= known
            answer = plane.client("sagemaker-runtime").invoke_endpoint(
                EndpointName="e", Body=ROW, ContentType="text/csv"
            )
            assert answer["Body"].read()
    jobs = {"acknowledged": len(work.acknowledged), "finished": len(finished)}
    return {"kills": rounds, **jobs, "restart, seconds": statistics.median(took)}


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


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: all")
    arguments = parser.parse_args()
    rows = []
    for part in arguments.parts or PARTS:
        row = PARTS[part]()
        print(f"{part}:")
        for what, value in row.items():
            print(f"  {what:28} {value:10.3f}" if isinstance(value, float) else f"  {what:28} {value:10}")
        sys.stdout.flush()
        rows.append({"part": part} | row)
    save("control-cpu", rows, folder=arguments.out)


if __name__ == "__main__":
    main()
