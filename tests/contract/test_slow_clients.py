"""Clients that send slowly, stop, or do not take their answers; more of them than a worker has threads."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from optml.local.endpoint import Endpoint
from tests.contract.server import OBEDIENT, Server, serving
from tests.serving.sample import Obedient, save_kmeans

MANY = 200
HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nAccept: text/csv\r\n"
BAD = {
    "stalled uploads": HEAD + b"Content-Length: 1000\r\n\r\n200\n",
    "stalled chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1000\r\n200\n",
    "stalled heads": HEAD,
    "silent connections": b"",
}
CSV = {"headers": {"Content-Type": "text/csv", "Accept": "text/csv"}}
# A server that may open so few files; the first worker needs some thirty itself.
FEW_FILES = (
    OBEDIENT[0],
    "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (264, 264)); " + OBEDIENT[1],
)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one worker of 13 threads, with patience of 30 seconds."""
    root = tmp_path_factory.mktemp("patient")
    with _endpoint(root, MAX_CONTENT_LENGTH="4000000", OPTML_MAX_QUEUE="4") as server:
        yield server


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one worker, with patience of one second."""
    root = tmp_path_factory.mktemp("hasty")
    with _endpoint(root, OPTML_STALL_TIMEOUT="1") as server:
        yield server


@contextmanager
def _endpoint(root: Path, **environment: str) -> Iterator[Server]:
    save_kmeans(root / "model")
    with Endpoint(root / "model", environment={"MODEL_SERVER_WORKERS": "1", **environment}) as endpoint:
        yield Server(endpoint._process, endpoint.port, 0.0)  # type: ignore[arg-type]


@contextmanager
def clients(server: Server, sent: bytes, count: int = MANY) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(server.connect(sent)) for _ in range(count)]


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    answer = b""
    while part := connection.recv(1 << 20):
        answer += part
    return answer


@pytest.mark.parametrize("kind", BAD)
def test_others_are_answered_beside(patient: Server, kind: str) -> None:
    with clients(patient, BAD[kind]):
        assert patient.get("/ping").status_code == 200
        assert patient.invoke("8,8,7", **CSV).text == "2.0,1.0\n"
        assert patient.get("/metrics").status_code == 200


def test_others_are_answered_beside_clients_that_take_no_answer(patient: Server) -> None:
    body = b"8,8,7\n" * 100_000
    request = HEAD.replace(b"text/csv\r\nAccept: text/csv", b"text/csv\r\nAccept: application/json")
    request += b"Content-Length: %d\r\n\r\n" % len(body) + body
    with ExitStack() as stack:
        for _ in range(20):
            one = stack.enter_context(patient.connect(request))
            assert one.recv(12) == b"HTTP/1.1 200"
        assert patient.get("/ping").status_code == 200
        assert patient.invoke("8,8,7", **CSV).text == "2.0,1.0\n"


@pytest.mark.parametrize("kind", ["stalled uploads", "stalled chunks", "stalled heads"])
def test_a_request_that_stops_coming_is_told_408(hasty: Server, kind: str) -> None:
    with clients(hasty, BAD[kind]) as those:
        answers = {everything(one).partition(b"\r\n")[0] for one in those}
    assert answers == {b"HTTP/1.1 408 Request Timeout"}


def test_the_408_says_what_happened_in_the_clients_language(hasty: Server) -> None:
    with hasty.connect(
        BAD["stalled uploads"].replace(b"Accept: text/csv", b"Accept: application/json")
    ) as one:
        head, _, body = everything(one).partition(b"\r\n\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert json.loads(body)["error"] == {
        "code": "RequestTimeout",
        "message": "the request stopped coming for 1 seconds",
    }


def test_a_body_that_comes_in_drops_is_told_408_too(hasty: Server) -> None:
    with hasty.connect(BAD["stalled uploads"], seconds=0.1) as one:
        for _ in range(200):
            try:
                answer = one.recv(4096)
                break
            except TimeoutError:
                one.sendall(b"1")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_an_answer_that_nobody_takes_is_given_up(hasty: Server) -> None:
    body = b"8,8,7\n" * 500_000
    with hasty.connect(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body) as one:
        one.recv(1)
        with pytest.raises(ConnectionError):
            _send_for_ever(one)


def _send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 100_000)


def test_more_connections_than_files_close_the_most_silent(tmp_path: Path) -> None:
    Obedient().save(tmp_path / "model")
    with (
        serving(tmp_path, FEW_FILES, MODEL_SERVER_WORKERS="1") as server,
        clients(server, HEAD + b"Content-Length: 1000\r\n\r\n200\n", 300) as those,
    ):
        assert server.get("/ping").status_code == 200
        assert server.invoke("200", **CSV).text == "200.0\n"
        assert everything(those[0]).startswith(b"HTTP/1.1 503 ")


def test_a_body_over_the_limit_is_refused_before_it_is_sent(patient: Server) -> None:
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: 4000001\r\n\r\n"
    with patient.connect(head) as one:
        assert everything(one).startswith(b"HTTP/1.1 413 Content Too Large\r\n")


def test_memory_that_slow_bodies_take_is_bounded(tmp_path: Path) -> None:
    Obedient().save(tmp_path / "model")
    part = HEAD + b"Content-Length: 99999\r\n\r\n" + b"x" * 50_000
    with (
        serving(tmp_path, OBEDIENT, MODEL_SERVER_WORKERS="1", OPTML_REQUEST_MEMORY_MB="1") as server,
        clients(server, part, 40) as those,
    ):
        assert everything(those[0]).startswith(b"HTTP/1.1 503 ")
        assert server.invoke("200", **CSV).text == "200.0\n"


def test_requests_sent_ahead_are_answered_in_order(patient: Server) -> None:
    request = HEAD + b"Content-Length: 6\r\n\r\n"
    last = request.replace(b"Host: x", b"Connection: close")
    with patient.connect(request + b"0,0,0\n" + request + b"1,1,1\n" + last + b"8,8,8\n") as one:
        answers = everything(one)
    assert [part[:3] for part in answers.split(b"\r\n\r\n")[1:]] == [b"0.0", b"1.0", b"2.0"]


def test_who_has_closed_its_side_still_gets_its_answer(patient: Server) -> None:
    with patient.connect(HEAD + b"Content-Length: 6\r\n\r\n8,8,7\n") as one:
        one.shutdown(socket.SHUT_WR)
        assert everything(one).endswith(b"\r\n\r\n2.0,1.0\n")


def test_who_breaks_off_in_mid_body_is_told(patient: Server) -> None:
    with patient.connect(HEAD + b"Content-Length: 9\r\n\r\n8,8,7\n") as one:
        one.shutdown(socket.SHUT_WR)
        answer = everything(one)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"the connection ended after 6 of 9 bytes")


def test_a_connection_is_of_use_after_head(patient: Server) -> None:
    get = b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"
    with patient.connect(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n" + get) as one:
        answers = everything(one)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"optml_models_loaded 1.0") == 1


def test_http_1_0_closes(patient: Server) -> None:
    with patient.connect(HEAD.replace(b"1.1", b"1.0") + b"Content-Length: 6\r\n\r\n8,8,7\n") as one:
        assert everything(one).endswith(b"\r\n\r\n2.0,1.0\n")


def test_an_answer_that_takes_too_long_is_503(tmp_path: Path) -> None:
    Obedient().save(tmp_path / "model")
    with serving(tmp_path, OBEDIENT, MODEL_SERVER_WORKERS="1", MODEL_SERVER_TIMEOUT="1") as server:
        answer = server.invoke("-4", **CSV)
        assert answer.status_code == 503
        assert "takes longer than a client waits" in answer.text
        (tmp_path / "model/go").touch()
        assert server.invoke("200", **CSV).text == "200.0\n"
