"""How `serve` stops: what is in flight is answered, what comes anew is refused, nothing is lost."""

import http.client
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.contract.server import OBEDIENT, Server, start
from tests.contract.tree import end
from tests.serving.sample import Obedient

CSV = {"headers": {"Content-Type": "text/csv", "Accept": "text/csv"}}
UPLOAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 8\r\n\r\n200\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Obedient().save(tmp_path / "model")
    return tmp_path


@contextmanager
def held(root: Path, server: Server) -> Iterator[tuple[int, Future[requests.Response]]]:
    """A request in flight: the worker that has it, and its answer, once `go` is in the model folder."""
    with ThreadPoolExecutor(1) as pool:
        try:
            answer = pool.submit(server.invoke, "-4", **CSV)
            until(lambda: any((root / "model").glob("held-*")))
            yield int(next((root / "model").glob("held-*")).name.removeprefix("held-")), answer
        finally:
            go(root)


def go(root: Path) -> None:
    (root / "model/go").touch()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 100
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stops(server: Server, how: int = signal.SIGTERM) -> None:
    """Tell it to stop, and wait until every worker has heard of it."""
    server.process.send_signal(how)
    for _ in range(20):  # connections go to whichever worker takes them first
        until(lambda: server.get("/ping").status_code == 503)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_while_a_request_is_in_flight_others_are_told_503(root: Path, how: int) -> None:
    server = start(root, OBEDIENT)
    server.ready()
    kept = requests.Session()
    assert kept.get(f"{server.url}/ping").status_code == 200
    with held(root, server) as (_, answer):
        stops(server, how)
        for refused in (
            kept.get(f"{server.url}/ping"),
            server.get("/ping"),
            server.invoke("200", **CSV),
            server.get("/metrics"),
        ):
            assert refused.status_code == 503
            assert refused.headers["Connection"] == "close"
        go(root)
        assert answer.result().status_code == 200
        assert answer.result().headers["Connection"] == "close"
    assert end(server.process).code == 0


def test_an_upload_that_has_begun_is_read_to_its_end(root: Path) -> None:
    server = start(root, OBEDIENT)
    server.ready()
    with server.connect(UPLOAD) as upload, held(root, server):
        stops(server)
        upload.sendall(b"201\n")
        assert upload.recv(12) == b"HTTP/1.1 200"
        go(root)
        assert end(server.process).code == 0


def test_an_upload_that_stalls_is_told_503_and_holds_nobody_up(root: Path) -> None:
    server = start(root, OBEDIENT)
    server.ready()
    with server.connect(UPLOAD) as upload:
        until(lambda: server.get("/ping").status_code == 200)
        assert server.stop().code == 0
        assert upload.recv(12) == b"HTTP/1.1 503"


def test_of_clients_that_keep_their_connections_nobody_loses_a_request(root: Path) -> None:
    server = start(root, OBEDIENT)
    server.ready()
    outcomes: Counter[str] = Counter()
    answered = threading.Semaphore(0)

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        while True:
            try:
                connection.connect() if connection.sock is None else None
            except OSError:  # the listener has closed
                return
            try:
                connection.request("POST", "/invocations", b"200", CSV["headers"])
                answer = connection.getresponse()
                answer.read()
                outcomes[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                outcomes[repr(error)] += 1
                connection.close()
            answered.release()

    clients = [threading.Thread(target=send) for _ in range(32)]
    for client in clients:
        client.start()
    for _ in range(500):
        answered.acquire()
    ended = server.stop()
    for client in clients:
        client.join()
    assert ended.code == 0
    assert set(outcomes) == {"200", "503"}


def test_a_worker_that_dies_meanwhile_holds_nobody_up(root: Path) -> None:
    server = start(root, OBEDIENT, MODEL_SERVER_WORKERS="2")
    server.ready()
    with held(root, server) as (worker, answer):
        stops(server)
        os.kill(worker, signal.SIGKILL)
        assert end(server.process).code == 0
        with pytest.raises(requests.ConnectionError):
            answer.result()


def test_one_worker_that_is_told_to_stop_leaves_the_server_as_it_is(root: Path) -> None:
    server = start(root, OBEDIENT, MODEL_SERVER_WORKERS="2")
    server.ready()
    with held(root, server) as (worker, answer):
        os.kill(worker, signal.SIGTERM)
        for _ in range(20):
            assert server.get("/ping").status_code == 200
        go(root)
        assert answer.result().status_code == 200
    assert server.invoke("200", **CSV).status_code == 200
    assert server.stop().code == 0


def test_a_stop_while_the_model_loads(root: Path) -> None:
    (root / "model/slow").touch()
    server = start(root, OBEDIENT)
    until(lambda: _answers(server))
    assert server.stop().code == 0


def test_a_server_of_many_models_answers_what_is_in_flight(root: Path) -> None:
    server = start(root, OBEDIENT, SAGEMAKER_MULTI_MODEL="true")
    server.ready()
    load = {"model_name": "o", "url": str(root / "model")}
    assert requests.post(f"{server.url}/models", json=load).status_code == 200
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(requests.post, f"{server.url}/models/o/invoke", data="-4", **CSV)
        until(lambda: any((root / "model").glob("held-*")))
        stops(server)
        assert requests.post(f"{server.url}/models", json=load).status_code == 503
        go(root)
        assert answer.result().status_code == 200
    assert end(server.process).code == 0


def _answers(server: Server) -> bool:
    try:
        return server.get("/ping").status_code == 503
    except requests.ConnectionError:
        return False
