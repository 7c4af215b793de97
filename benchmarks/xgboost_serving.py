"""XGBoost served, against the open AWS container's way, over HTTP: `python -m benchmarks.xgboost_serving`.

Both are real servers of the same model of 100 trees on this machine, asked in turns. The peer is what the
open container does, without its logging: gunicorn with a worker a core, Flask, and for each request: sniff
the delimiter, split the text into an array of strings, those to float64, DMatrix, Booster.predict on one
thread, and a number a line. Its workers are gthread's: gevent's, which the container takes, send header and
body apart, and on a kept connection the second waits 40 ms for the first to be acknowledged.

one row   one connection that is kept; median and 99th percentile of milliseconds
1000 rows a connection a core; rows per second
"""

from __future__ import annotations

import csv
import http.client
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import options, save
from benchmarks.serving import server
from benchmarks.xgboost import PARAMETERS, ROUNDS, rows_of

HEADERS = {"Content-Type": "text/csv", "Accept": "text/csv"}
PEER = [
    "-c",
    "from benchmarks.xgboost_serving import serve_as_they_do; serve_as_they_do()",
]


def answer(booster: Any, body: bytes) -> bytes:
    """CSV to CSV by the open container's steps."""
    import xgboost

    text = body.strip().decode("utf-8")
    delimiter = csv.Sniffer().sniff(text.split("\n")[0][:512]).delimiter
    delimiter = "," if delimiter.isalnum() else delimiter
    cells = [["nan" if cell == "" else cell for cell in row.split(delimiter)] for row in text.split("\n")]
    predictions = booster.predict(xgboost.DMatrix(np.array(cells).astype(float)), validate_features=False)
    return "".join(f"{value}\n" for value in predictions.tolist()).encode()


def serve_as_they_do() -> None:
    """The peer, on the port and with the model of the environment. Never returns."""
    import flask
    from gunicorn.app.base import BaseApplication

    from optml import cpus

    app = flask.Flask("open container")
    app.add_url_rule("/ping", "ping", lambda: flask.Response(status=200))
    boosters: list[Any] = []

    def invoke() -> flask.Response:
        return flask.Response(answer(boosters[0], flask.request.data), 200, mimetype="text/csv")

    app.add_url_rule("/invocations", "invocations", invoke, methods=["POST"])

    def load_model(_: object) -> None:
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model" / "xgboost-model")
        booster.set_param("nthread", 1)
        boosters.append(booster)

    class Server(BaseApplication):
        def load_config(self) -> None:
            for name, value in (
                ("bind", f"127.0.0.1:{os.environ['SAGEMAKER_BIND_TO_PORT']}"),
                ("workers", cpus.count()),
                ("worker_class", "gthread"),
                ("keepalive", 60),
                ("post_worker_init", load_model),
            ):
                self.cfg.set(name, value)

        def load(self) -> object:
            return app

    Server().run()


def latencies(port: int, body: bytes, count: int) -> list[float]:
    """Milliseconds of each of so many requests on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        post(connection, body)
        taken.append(1e3 * (time.perf_counter() - began))
    connection.close()
    return taken


def throughput(port: int, body: bytes, seconds: float) -> float:
    """Bodies per second over a connection a core."""
    from optml import cpus

    done: list[int] = []
    until = time.perf_counter() + seconds

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.perf_counter() < until:
            post(connection, body)
            done.append(1)
        connection.close()

    clients = [threading.Thread(target=ask) for _ in range(cpus.count())]
    began = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return len(done) / (time.perf_counter() - began)


def post(connection: http.client.HTTPConnection, body: bytes) -> bytes:
    connection.request("POST", "/invocations", body, HEADERS)
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {content[:300]!r}")
    return content


def main() -> int:
    """Run, print the table, and write xgboost_serving-cpu.json."""
    import xgboost

    from optml.algorithms.xgboost.boosters import Native
    from optml.algorithms.xgboost.model import Model

    parser = options(__doc__)
    parser.add_argument("--turns", type=int, default=5, help="in which both are asked (default: 5)")
    arguments = parser.parse_args()
    table = rows_of(20_000)
    booster = xgboost.train(PARAMETERS, xgboost.QuantileDMatrix(table[:, 1:], table[:, 0]), ROUNDS)
    one, many = (
        "".join(",".join(map(str, row)) + "\n" for row in table[:count, 1:].tolist()).encode()
        for count in (1, 1000)
    )
    names = ("ours", "open container's")
    taken: dict[str, list[float]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        Model([Native(booster)]).save(Path(folder) / "model")
        with (
            server(["-m", "optml.container", "serve"], Path(folder)) as (ours, _),
            server(PEER, Path(folder)) as (theirs, _),
        ):
            answers = [
                post(http.client.HTTPConnection("127.0.0.1", port), many).split() for port in (ours, theirs)
            ]
            np.testing.assert_allclose(*np.array(answers, float), rtol=1e-6)
            for port in (ours, theirs):
                latencies(port, one, 200)
            for _ in range(arguments.turns):
                for name, port in zip(names, (ours, theirs), strict=True):
                    taken[name] += latencies(port, one, 400)
                    rates[name].append(1000 * throughput(port, many, 3))
    rows = [
        {
            "server": name,
            "one_row_p50_ms": round(statistics.median(taken[name]), 3),
            "one_row_p99_ms": round(float(np.quantile(taken[name], 0.99)), 3),
            "rows_per_second_of_1000": round(statistics.median(rates[name])),
        }
        for name in names
    ]
    facts = {
        "what": f"{ROUNDS} trees, {table.shape[1] - 1} features, CSV to CSV over HTTP",
        "p50_ratio": round(rows[1]["one_row_p50_ms"] / rows[0]["one_row_p50_ms"], 2),
        "rows_ratio": round(rows[0]["rows_per_second_of_1000"] / rows[1]["rows_per_second_of_1000"], 2),
    }
    for row in (*rows, facts):
        print(row)
    print(save("xgboost_serving-cpu", rows, folder=arguments.out, **facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
