"""`serve` as SageMaker, its SDKs and HTTP clients meet it."""

import gzip
import json
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from optml.local.endpoint import Endpoint
from optml.local.ports import free_port
from tests.contract.server import OBEDIENT, Server, serving, start
from tests.contract.tree import end
from tests.fuzz.invocations import attack
from tests.serving.sample import Obedient, save_kmeans

CSV = {"headers": {"Content-Type": "text/csv", "Accept": "text/csv"}}


@pytest.fixture(scope="module")
def kmeans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("kmeans")
    save_kmeans(root / "model")
    with Endpoint(root / "model") as endpoint:
        yield Server(endpoint._process, endpoint.port, time.monotonic())  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Obedient().save(tmp_path / "model")
    return tmp_path


class TestStart:
    def test_the_parent_process_loads_nothing_that_dislikes_a_fork(self) -> None:
        heavy = {"torch", "numba", "pyarrow", "optml.algorithms.kmeans"}
        program = "import sys; from optml.serving import app, processes, server; print(*sys.modules)"
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert not heavy & set(said.stdout.split())

    def test_the_port_is_the_one_of_the_pipeline_and_no_other(self, tmp_path: Path) -> None:
        save_kmeans(tmp_path / "model")
        with serving(tmp_path, SAGEMAKER_BIND_TO_PORT=str(free_port())) as server:
            listening = set()
            for pid in (server.process.pid, *_children(server.process.pid)):
                listening |= _ports(pid)
            assert listening == {server.port}

    def test_while_the_model_loads_ping_is_503_at_once_and_invocations_wait(self, root: Path) -> None:
        (root / "model/slow").touch()
        server = start(root, OBEDIENT)
        _listening(server)
        with ThreadPoolExecutor(1) as pool:
            invoked = pool.submit(server.invoke, "200", **CSV)
            try:
                for _ in range(3):
                    answer = server.get("/ping")
                    assert (answer.status_code, answer.json()) == (503, {"error": "loading"})
                assert not invoked.done()
            finally:
                (root / "model/go").touch()
            assert invoked.result().text == "200.0\n"
        assert server.stop().code == 0

    @pytest.mark.parametrize(("flaw", "reason"), [("broken", "is broken; train again"), ("bug", "secret")])
    def test_a_model_that_does_not_load_ends_the_server_with_the_reason(
        self, root: Path, flaw: str, reason: str
    ) -> None:
        (root / "model" / flaw).touch()
        ended = end(start(root, OBEDIENT).process)
        assert ended.code == 1
        assert "Unable to load model: " in ended.last
        assert reason in ended.last
        assert ended.log.count("Unable to load model: ") == 1  # no second try, no second worker's copy
        assert ("Traceback" in ended.log) is (flaw == "bug")

    def test_a_hand_made_artifact_gets_a_readable_reason(self, tmp_path: Path) -> None:
        model = tmp_path / "model"
        model.mkdir()
        (model / "model_algo-1").write_bytes(b"PK\x03\x04 some archive")
        ended = end(start(tmp_path, OPTML_ALGORITHM="kmeans").process)
        assert ended.code == 1
        assert "model_algo-1 is a ZIP archive" in ended.last
        assert "Traceback" not in ended.log

    def test_an_archive_alone_serves_on_after_a_worker_has_died(self, tmp_path: Path) -> None:
        Obedient().save(tmp_path / "made")
        (tmp_path / "model").mkdir()
        with tarfile.open(tmp_path / "model/model.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "made", ".")
        with serving(tmp_path, OBEDIENT, MODEL_SERVER_WORKERS="1") as server:
            with pytest.raises(requests.ConnectionError):
                server.invoke("-3", **CSV)
            assert server.invoke("200", **CSV).text == "200.0\n"

    def test_an_empty_model_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        ended = end(start(tmp_path).process)
        assert ended.code == 1
        assert "is empty" in ended.last

    def test_a_wrong_environment_is_named(self, tmp_path: Path) -> None:
        ended = end(start(tmp_path, MODEL_SERVER_WORKERS="many").process)
        assert ended.code == 2
        assert "MODEL_SERVER_WORKERS is 'many'" in ended.last

    def test_a_port_that_is_taken_ends_the_server(self, tmp_path: Path) -> None:
        save_kmeans(tmp_path / "model")
        with socket.socket() as other:
            other.bind(("0.0.0.0", 0))
            other.listen()
            ended = end(start(tmp_path, SAGEMAKER_BIND_TO_PORT=str(other.getsockname()[1])).process)
        assert ended.code == 1


class TestDeaths:
    def test_one_dead_worker_is_replaced(self, root: Path) -> None:
        server = start(root, OBEDIENT)
        server.ready()
        with pytest.raises(requests.ConnectionError):
            server.invoke("-3", **CSV)
        for _ in range(20):
            assert server.get("/ping").status_code == 200
            assert server.invoke("200", **CSV).status_code == 200
        ended = server.stop()
        assert ended.code == 0
        assert "SIGKILL" in ended.log

    def test_three_deaths_in_a_minute_end_the_server(self, root: Path) -> None:
        server = start(root, OBEDIENT)
        server.ready()
        while server.process.poll() is None:
            try:
                server.invoke("-3", **CSV)
            except requests.RequestException:
                time.sleep(0.05)
        ended = end(server.process)
        assert ended.code == 1
        assert "it was the third within 60 s" in ended.last


class TestLoad:
    def test_ping_answers_while_every_worker_is_busy(self, root: Path) -> None:
        with serving(root, OBEDIENT, MODEL_SERVER_WORKERS="1") as server, ThreadPoolExecutor(8) as pool:
            heavy = [pool.submit(server.invoke, "-4", **CSV) for _ in range(8)]
            try:
                while not list((root / "model").glob("held-*")):
                    time.sleep(0.01)
                for _ in range(10):
                    assert server.get("/ping").status_code == 200
                assert not any(request.done() for request in heavy)
            finally:
                (root / "model/go").touch()
            assert {request.result().status_code for request in heavy} == {200}

    def test_metrics_add_up_the_workers(self, kmeans: Server) -> None:
        def count() -> float:
            for line in kmeans.get("/metrics").text.splitlines():
                if line.startswith('optml_requests_total{code="200"}'):
                    return float(line.split()[1])
            return 0.0

        before = count()
        for _ in range(10):
            kmeans.invoke("1,1,1", **CSV)
        while count() < before + 10:  # a worker tells what it did when it has done it
            time.sleep(0.01)
        assert count() == before + 10

    def test_metrics_name_each_worker(self, kmeans: Server) -> None:
        with ThreadPoolExecutor(8) as pool:
            while kmeans.get("/metrics").text.count("optml_resident_memory_bytes{") < 2:
                list(pool.map(kmeans.get, ["/ping"] * 8))  # until the other worker has answered one as well


class TestBodies:
    BODY = b"8,8,7\n" * 350_000  # 2 MB
    ANSWER = b"2.0,1.0\n" * 350_000

    def test_gzip(self, kmeans: Server) -> None:
        headers = CSV["headers"] | {"Content-Encoding": "gzip"}
        assert kmeans.invoke(gzip.compress(self.BODY), headers=headers).content == self.ANSWER

    def test_chunked(self, kmeans: Server) -> None:
        pieces = (self.BODY[at : at + 100_000] for at in range(0, len(self.BODY), 100_000))
        assert kmeans.invoke(pieces, **CSV).content == self.ANSWER

    def test_expect_100_continue(self, kmeans: Server) -> None:
        head = (
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nAccept: text/csv\r\n"
            b"Content-Length: 6\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", kmeans.port), timeout=60) as connection:
            connection.sendall(head)
            assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"8,8,7\n")
            answer = b""
            while part := connection.recv(65536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"2.0,1.0\n")

    def test_200_mb_is_413(self, kmeans: Server) -> None:
        answer = kmeans.invoke((b"1" * (1 << 20) for _ in range(200)), **CSV)
        assert answer.status_code == 413
        answer = kmeans.invoke(gzip.compress(b"1" * (200 << 20), 1), headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 413

    def test_lines_are_streamed(self, kmeans: Server) -> None:
        headers = {"Content-Type": "text/csv", "Accept": "application/jsonlines"}
        answer = kmeans.invoke(self.BODY, headers=headers)
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.content.count(b"\n") == 350_000
        assert json.loads(answer.content.splitlines()[-1])["closest_cluster"] == 2.0

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"nonsense\r\n\r\n", b"400"),
            (b"GET /ping HTTP/9.9\r\n\r\n", b"400"),
            (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", b"414"),
            (b"GET /ping HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
            (
                b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
                b"400",
            ),
            (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"400"),
        ],
    )
    def test_what_is_no_http_gets_no_html(self, kmeans: Server, sent: bytes, status: bytes) -> None:
        answer = kmeans.talk(sent)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"<" not in answer

    def test_no_bytes_of_any_type_make_it_our_fault(self, kmeans: Server) -> None:
        assert attack(kmeans.port, seed=0, count=300) == 300

    def test_a_bug_is_one_line_and_its_traceback_is_in_the_log(self, root: Path) -> None:
        server = start(root, OBEDIENT)
        server.ready()
        answer = server.invoke("-1", **CSV)
        ended = server.stop()
        assert answer.status_code == 500
        assert "\n" not in answer.text
        assert "ZeroDivisionError: secret" in ended.log


def _listening(server: Server) -> None:
    deadline = time.monotonic() + 100
    while True:
        try:
            socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ports(pid: int) -> set[int]:
    """The TCP ports that a process listens on."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(entry.readlink()))
        except OSError:
            continue
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports
