"""What bad and slow clients do to the others, and what a stop costs: `python -m benchmarks.serving_load`.

Clients that stop in mid-body, send nothing, stop in the head or do not take their answers, thousands at a
time; meanwhile, how long /ping and a good request take. Then SIGTERM under clients that keep their
connections: how many requests were lost or reset until the process ended.
"""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from optml.algorithms.kmeans.model import Model

KEPT = 64  # clients with a connection each that they keep
HEAVY = 4  # of them: those that send 6 MB at a time
STALLED = 2000
STALL = 30  # seconds after which the server says 408
FEATURES, K = 20, 10
ROW = (",".join(["0.25"] * FEATURES) + "\n").encode()
HEADERS = {"Content-Type": "text/csv", "Accept": "text/csv"}
_HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nAccept: application/json\r\n"
_MANY = ROW * 20_000  # 2 MB, of which the answer as JSON is larger than the buffers of a connection
BAD: dict[str, bytes] = {  # what a bad client sends before it falls silent
    "stalled uploads": _HEAD + b"Content-Length: 1000000\r\n\r\n" + ROW * 10,
    "stalled chunks": _HEAD + b"Transfer-Encoding: chunked\r\n\r\n100000\r\n" + ROW * 10,
    "stalled heads": _HEAD,
    "silent connections": b"",
}


@contextmanager
def server(root: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server as a child process, ready: its port and the process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = os.environ | {"SAGEMAKER_BASE_DIR": str(root), "SAGEMAKER_BIND_TO_PORT": str(port)}
    command = [sys.executable, "-m", "optml.container", "serve"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while call(port, "GET", "/ping")[0] != 200:
            if process.poll() is not None:
                raise SystemExit("the server does not start")
            time.sleep(0.01)
        yield port, process
    finally:
        process.kill()
        process.wait()


def call(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, float]:
    """Status (0: no answer within 30 s) and seconds of a request on a connection of its own."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    status = 0
    with suppress(OSError, http.client.HTTPException):
        connection.request(method, path, body, HEADERS if body else {})
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    connection.close()
    return status, time.perf_counter() - began


def latencies(port: int, count: int = 30) -> dict[str, Any]:
    """How long pings and good requests take, one after the other."""
    pings = [call(port, "GET", "/ping") for _ in range(count)]
    goods = [call(port, "POST", "/invocations", ROW) for _ in range(count)]
    return {
        "ping_median_ms": round(1e3 * statistics.median(took for _, took in pings), 1),
        "ping_max_ms": round(1e3 * max(took for _, took in pings), 1),
        "good_median_ms": round(1e3 * statistics.median(took for _, took in goods), 1),
        "good_max_ms": round(1e3 * max(took for _, took in goods), 1),
        "failures": sum(status != 200 for status, _ in pings + goods),
    }


def under_bad_clients(port: int, sent: bytes, count: int, patience: float) -> dict[str, Any]:
    """Latencies while so many clients have sent something and fallen silent; then what those are told."""
    sockets = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=30)
            client.sendall(sent)
            sockets.append(client)
        fell_silent = time.perf_counter()
        measured = latencies(port)
        answers: Counter[str] = Counter()
        until = fell_silent + patience
        for client in sockets:
            client.settimeout(max(0.0001, until - time.perf_counter()))
            try:
                answer = client.recv(65536)
                answers[answer.split(b" ")[1].decode() if answer else "closed"] += 1
            except TimeoutError:
                answers["open"] += 1
            except OSError:
                answers["reset"] += 1
        waited = round(time.perf_counter() - fell_silent, 1)
        return {**measured, "told": dict(answers), "seconds_until_told": waited}
    finally:
        for client in sockets:
            client.close()


class Client:
    """Sends one request after the other until no connection can be made."""

    def __init__(self, port: int, method: str, path: str, body: bytes | None, keep: bool) -> None:
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0  # seconds of an answer
        self._request = (method, path, body, HEADERS if body else {})
        self._port = port
        self._keep = keep
        self.thread = Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        connection = None
        while True:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
                try:
                    connection.connect()
                except OSError:  # the listener has closed
                    return
            began = time.perf_counter()
            try:
                connection.request(*self._request)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[f"lost: {type(error).__name__}"] += 1
                connection = None
                continue
            self.outcomes[str(answer.status)] += 1
            self.slowest = max(self.slowest, time.perf_counter() - began)
            if answer.will_close or not self._keep:
                connection.close()
                connection = None


def stop_under_load(root: Path) -> dict[str, Any]:
    """SIGTERM while clients send: what they were told from then on, and how long it took."""
    with server(root) as (port, process):
        clients = [
            Client(port, "POST", "/invocations", ROW * 60_000 if number < HEAVY else ROW, keep=True)
            for number in range(KEPT)
        ]
        time.sleep(2)
        before = sum((client.outcomes for client in clients), Counter())
        pings = Client(port, "GET", "/ping", None, keep=False)
        began = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        seconds = time.perf_counter() - began
        for client in [*clients, pings]:
            client.thread.join(10)
        after = sum((client.outcomes for client in clients), Counter()) - before
    lost = sum(count for outcome, count in (after + pings.outcomes).items() if outcome.startswith("lost"))
    return {
        "lost": lost,
        "exit_code": code,
        "seconds_to_exit": round(seconds, 2),
        "requests": dict(after),
        "pings": dict(pings.outcomes),
        "slowest_ping_ms": round(1e3 * pings.slowest, 1),
    }


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--stalled", type=int, default=STALLED, help=f"bad clients (default: {STALLED})")
    parser.add_argument("--stops", type=int, default=5, help="stops under load (default: 5)")
    chosen = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows: list[dict[str, Any]] = []

    def note(what: str, measure: Callable[[], dict[str, Any]]) -> None:
        rows.append({"what": what, **measure()})
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        centers = np.random.default_rng(0).normal(size=(K, FEATURES)).astype(np.float32)
        Model(centers, np.ones(K), {"k": K}).save(root / "model")
        with server(root) as (port, _):
            note("nobody else", lambda: latencies(port))
            for what, sent in BAD.items():
                patience = STALL + 15 if sent else 0.0
                note(what, partial(under_bad_clients, port, sent, chosen.stalled, patience))
            request = _HEAD + b"Content-Length: %d\r\n\r\n" % len(_MANY) + _MANY
            note("answers not taken", partial(under_bad_clients, port, request, 100, 30.0))
        for _ in range(chosen.stops):
            note(f"SIGTERM under {KEPT} clients", partial(stop_under_load, root))
    print(save("serving_load-cpu", rows, folder=chosen.out, stalled=chosen.stalled, kept=KEPT, heavy=HEAVY))
    return 0


if __name__ == "__main__":
    sys.exit(main())
