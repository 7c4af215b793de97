"""The server against an empty Flask handler under the same gunicorn settings: `python -m benchmarks.serving`.

What a single row costs above what Flask and gunicorn cost anyway: wrk posts one JSON row (K-Means, 20
features, k = 10) over 64 connections to both, in turns, in the same run. Then: how long /ping takes while 8
clients post 6 MB of CSV each, and how long a start takes until /ping says 200. Needs `wrk`. Peers that run a
model in Python pay the empty handler's price at least, so the ratio is what is left to win.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from optml.algorithms.kmeans.model import Model

CONNECTIONS = 64
FEATURES, K = 20, 10
SCRIPT = """
wrk.method = "POST"
wrk.body = '{{"instances": [{{"features": [{row}]}}]}}'
wrk.headers["Content-Type"] = "application/json"
"""


def serve_nothing() -> None:
    """The peer: our gunicorn configuration, with a Flask application that answers `{}`."""
    from flask import Flask, Response

    from optml import cpus
    from optml.serving.server import _Server
    from optml.serving.settings import Settings

    class Empty(_Server):
        def start_worker(self, worker: Any) -> None:
            app = Flask("empty")
            app.add_url_rule("/ping", "ping", lambda: Response(b"", 200))
            answer = {"content_type": "application/json"}
            app.add_url_rule(
                "/invocations", "invocations", lambda: Response(b"{}", 200, **answer), methods=["POST"]
            )
            worker.wsgi = app

    settings = Settings.of_environment()
    Empty(settings, settings.workers or cpus.count(), [], None, Path(os.devnull)).run()


@contextmanager
def server(command: list[str], root: Path) -> Iterator[tuple[int, float]]:
    """A server as a child process: its port, and the seconds it took to answer /ping with 200."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(root), "SAGEMAKER_BIND_TO_PORT": str(port)}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.DEVNULL)
    try:
        while ping(port) is None:
            if process.poll() is not None or time.perf_counter() - began > 60:
                raise SystemExit(f"{command} does not start")
            time.sleep(0.005)
        yield port, time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def ping(port: int) -> float | None:
    """Seconds until /ping said 200; None if it did not."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/ping")
        return time.perf_counter() - began if connection.getresponse().status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


def wrk(port: int, seconds: float, script: Path) -> dict[str, float]:
    """Requests per second, p99 in milliseconds, and failures of one run of wrk."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--latency", "-s", str(script)]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/invocations"], capture_output=True, text=True, check=True
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    tail = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert rate, said
    assert tail, said
    failures = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    for errors in re.findall(r"Socket errors: (.*)", said):
        failures += sum(int(n) for n in re.findall(r"\d+", errors))
    scale = {"us": 1e-3, "ms": 1.0, "s": 1e3}[tail[2]]
    return {"requests_per_second": float(rate[1]), "p99_ms": float(tail[1]) * scale, "failures": failures}


def pings_under_load(port: int, seconds: float) -> dict[str, float]:
    """How long /ping takes while 8 clients post 6 MB of CSV, one after the other each."""
    body = (",".join(["0.25"] * FEATURES) + "\n").encode() * (6_000_000 // (5 * FEATURES))
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    until = time.perf_counter() + seconds
    answered: list[int] = []

    def post() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.perf_counter() < until:
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            answer.read()
            answered.append(answer.status)

    clients = [threading.Thread(target=post) for _ in range(8)]
    for client in clients:
        client.start()
    times = []
    while time.perf_counter() < until:
        took = ping(port)
        times.append(float("inf") if took is None else took)
        time.sleep(0.05)
    for client in clients:
        client.join()
    return {
        "ping_median_ms": round(1e3 * statistics.median(times), 1),
        "ping_max_ms": round(1e3 * max(times), 1),
        "pings": len(times),
        "heavy_answers": len(answered),
        "heavy_failures": sum(status != 200 for status in answered),
    }


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of wrk, for each side (default: 10)")
    parser.add_argument("--rounds", type=int, default=4, help="turns that those are cut into (default: 4)")
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        centers = rng.normal(size=(K, FEATURES)).astype(np.float32)
        Model(centers, np.ones(K), {"k": K}).save(root / "model")
        script = root / "row.lua"
        script.write_text(SCRIPT.format(row=", ".join(f"{x:.6f}" for x in rng.normal(size=FEATURES))))
        nothing = ["-c", "from benchmarks.serving import serve_nothing; serve_nothing()"]
        ours = ["-m", "optml.container", "serve"]
        starts = []
        for _ in range(5):
            with server(ours, root) as (_, took):
                starts.append(took)
        rows = []
        with server(nothing, root) as (empty, _), server(ours, root) as (port, _):
            for one in (empty, port):
                wrk(one, 2, script)
            for turn in range(chosen.rounds):
                for name, one in (("empty Flask handler", empty), ("optml, one row", port)):
                    measured = wrk(one, max(1.0, chosen.seconds / chosen.rounds), script)
                    rows.append({"server": name, "turn": turn, **measured})
                    rate, tail = measured["requests_per_second"], measured["p99_ms"]
                    print(f"{name:20} {rate:8.0f}/s  p99 {tail:6.1f} ms")
            load = pings_under_load(port, min(10.0, chosen.seconds))
    rates = [row["requests_per_second"] for row in rows]
    ratios = [ours_ / empty_ for empty_, ours_ in zip(rates[::2], rates[1::2], strict=True)]
    facts = {
        "connections": CONNECTIONS,
        "seconds_each": chosen.seconds,
        "ratio": round(statistics.median(ratios), 3),  # of neighbours in time: the machine may be shared
        "failures": sum(row["failures"] for row in rows),
        "seconds_to_ready": round(statistics.median(starts), 3),
        **load,
    }
    for name, value in facts.items():
        print(f"{name:20} {value}")
    print(save("serving-cpu", rows, folder=chosen.out, **facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
