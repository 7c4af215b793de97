"""Containers of this tree: the image is built once for all tests, which are skipped without an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from optml.formats import tabular
from optml.formats.content_type import ContentType
from optml.formats.records import Records
from tests.docker.engine import Job, build, docker, missing_engine


@pytest.fixture(scope="session")
def engine() -> None:
    problem = missing_engine()
    if problem:
        pytest.skip(problem)


@pytest.fixture(scope="session")
def image(engine: None) -> str:
    """The CPU image of K-Means, made from this tree."""
    return build("Dockerfile.cpu", "kmeans")


@pytest.fixture(scope="session")
def everything(engine: None) -> str:
    """The CPU image of all algorithms, made from this tree."""
    return build("Dockerfile.cpu", "all")


@pytest.fixture(scope="session")
def rows() -> np.ndarray:
    """Iris: 150 rows of 4 measures, in three groups."""
    return np.ascontiguousarray(load_iris().data, dtype=np.float32)


@pytest.fixture(scope="session")
def csv(rows: np.ndarray) -> bytes:
    return "".join(",".join(f"{value:g}" for value in row) + "\n" for row in rows).encode()


@pytest.fixture(scope="session")
def recordio(rows: np.ndarray) -> bytes:
    return tabular.write(Records(rows), ContentType.parse("application/x-recordio-protobuf"))


@pytest.fixture
def job(tmp_path: Path, csv: bytes) -> Iterator[Callable[..., Job]]:
    """Makes K-Means jobs on Iris; anything of them can be said otherwise."""
    made: list[Job] = []

    def make(name: str = "job", **different: object) -> Job:
        settings: dict[str, object] = {
            "hyperparameters": {"k": "3", "feature_dim": "4", "mini_batch_size": "50"},
            "channels": {"train": {"iris.csv": csv}},
            "content_types": {"train": "text/csv;label_size=0"},
        }
        made.append(Job(root=tmp_path / name, **(settings | different)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    if made and os.getuid():  # containers run as root: hand their files back to whoever removes them
        owner = f"{os.getuid()}:{os.getgid()}"
        mount = ("-v", f"{tmp_path}:/made", "--entrypoint", "chown")
        docker("run", "--rm", *mount, "optml/kmeans:test", "-R", owner, "/made")
