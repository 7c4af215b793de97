"""A control plane in this process, on a port of its own, and AWS's own clients to talk to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config

from optml.local.control.context import Options
from optml.local.control.home import Home
from optml.local.control.plane import Plane
from optml.local.control.server import configuration, listener

Clients = Callable[..., Any]


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[Plane]:
    """A control plane that answers, from start to end."""
    chosen = Options(port=0, engine="process", slots=options.pop("slots", 1), **options)
    with listener(chosen) as port:
        plane = Plane(Home(folder), replace(chosen, port=port.getsockname()[1]))
        ready = threading.Event()

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                ready.set()

        server = Server(configuration(plane))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]})
        thread.start()
        try:
            assert ready.wait(30)
            yield plane
        finally:
            server.should_exit = True
            thread.join()


def client(plane: Plane, service: str, **config: Any) -> Any:
    """A client of boto3, as a user with our environment has it."""
    return boto3.client(
        service,
        endpoint_url=plane.url,
        aws_access_key_id=config.pop("key", "test"),
        aws_secret_access_key=config.pop("secret", "test"),
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with running(tmp_path_factory.mktemp("control")) as started:
        yield started


@pytest.fixture(scope="session")
def clients(plane: Plane) -> Clients:
    """`clients("s3")`: made once for each service."""
    made: dict[str, Any] = {}

    def get(service: str) -> Any:
        if service not in made:
            made[service] = client(plane, service)
        return made[service]

    return get


@pytest.fixture
def s3(clients: Clients) -> Any:
    return clients("s3")


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}"
    s3.create_bucket(Bucket=name)
    return name
