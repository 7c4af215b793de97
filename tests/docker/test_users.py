"""Containers of any user and without a file system to write to: every algorithm trains and serves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from optml.algorithms import registry
from optml.formats import tabular
from optml.formats.content_type import ContentType
from optml.formats.records import Records
from tests.docker.engine import BUILD_SECONDS, Job, build, docker, server
from tests.docker.test_image_classification import SETTINGS, jpegs, records

pytestmark = [pytest.mark.docker, pytest.mark.timeout(BUILD_SECONDS)]

USER = ("--user", "12345:12345")  # whom no /etc/passwd knows
READ_ONLY = ("--read-only",)
RECORDIO = "application/x-recordio-protobuf"

rng = np.random.default_rng(0)
ROWS = rng.poisson(2.0, (300, 8)).astype(np.float32)
LABELS = (ROWS[:, :1] > 2).astype(np.float32)
PLAIN = "".join(",".join(f"{value:g}" for value in row) + "\n" for row in ROWS).encode()
LABELLED = "".join(
    f"{label[0]:g},{line}\n" for label, line in zip(LABELS, PLAIN.decode().split(), strict=True)
)
PAIRS = "".join(f"u{number % 50},10.0.{number % 9}.{number % 99}\n" for number in range(500)).encode()
SERIES = {"start": "2020-01-01 00:00:00", "target": [float(day % 7) for day in range(100)]}
ASKED = json.dumps({"instances": [SERIES], "configuration": {"num_samples": 5, "output_types": ["mean"]}})
ROW, FEATURES = b"1,2,3,4,5,6,7,8", b'{"instances": [{"features": [1, 2, 3, 4, 5, 6, 7, 8]}]}'
CSV, JSON = "text/csv", "application/json"


def recordio() -> bytes:
    return tabular.write(Records(ROWS, LABELS), ContentType.parse(RECORDIO))


# slug -> hyperparameters, the training data and its content type, a request and its content type
JOBS: dict[str, tuple[dict[str, object], Callable[[], bytes], str, bytes, str]] = {
    "blazingtext": (
        {"mode": "skipgram", "vector_dim": 10, "min_count": 1, "epochs": 1},
        lambda: b"the quick brown fox jumps over the lazy dog " * 200 + b"\n",
        "text/plain", b'{"instances": ["fox"]}', JSON,
    ),
    "factorization-machines": (
        {"feature_dim": 8, "num_factors": 4, "predictor_type": "binary_classifier", "mini_batch_size": 100},
        recordio, RECORDIO, FEATURES, JSON,
    ),
    "forecasting-deepar": (
        {"time_freq": "D", "context_length": 7, "prediction_length": 3, "epochs": 1, "num_cells": 10},
        lambda: (json.dumps(SERIES) + "\n").encode() * 20, "application/jsonlines", ASKED.encode(), JSON,
    ),
    "image-classification": (
        SETTINGS, lambda: records(96), "application/x-recordio", jpegs(1)[0][0], "application/x-image",
    ),
    "ipinsights": (
        {"num_entity_vectors": 1000, "vector_dim": 16, "epochs": 1}, lambda: PAIRS, CSV, b"u1,10.0.0.1", CSV,
    ),
    "kmeans": ({"k": 3, "feature_dim": 8}, lambda: PLAIN, f"{CSV};label_size=0", ROW, CSV),
    "knn": (
        {"k": 3, "feature_dim": 8, "sample_size": 300, "predictor_type": "classifier"},
        LABELLED.encode, CSV, ROW, CSV,
    ),
    "lda": (
        {"feature_dim": 8, "num_topics": 3, "mini_batch_size": 300}, recordio, RECORDIO, FEATURES, JSON,
    ),
    "linear-learner": (
        {"feature_dim": 8, "predictor_type": "binary_classifier", "mini_batch_size": 100, "epochs": 2},
        LABELLED.encode, CSV, ROW, CSV,
    ),
    "ntm": (
        {"feature_dim": 8, "num_topics": 3, "mini_batch_size": 50, "epochs": 2},
        recordio, RECORDIO, FEATURES, JSON,
    ),
    "pca": (
        {"feature_dim": 8, "num_components": 2, "mini_batch_size": 100},
        lambda: PLAIN, f"{CSV};label_size=0", ROW, CSV,
    ),
    "randomcutforest": ({"feature_dim": 8}, lambda: PLAIN, f"{CSV};label_size=0", ROW, CSV),
    "xgboost": ({"num_round": 3, "objective": "binary:logistic"}, LABELLED.encode, CSV, ROW, CSV),
}  # fmt: skip


@pytest.fixture(scope="module")
def everything(engine: None) -> str:
    return build("Dockerfile.cpu", "all")


@pytest.fixture
def strangers(everything: str, tmp_path: Path) -> Iterator[Callable[[Job, int], None]]:
    """Gives a job's tree to a user, through a container where the tests are not root."""

    def give(path: Path, user: int) -> None:
        mount = ("-v", f"{path}:/given", "--entrypoint", "chown")
        docker("run", "--rm", *mount, everything, "-R", f"{user}:{user}", "/given")

    yield lambda job, user: give(job.root, user)
    give(tmp_path, os.getuid())


@pytest.mark.parametrize(
    ("slug", "options"),
    [
        *((slug, (*USER, *READ_ONLY)) for slug in registry.available()),
        *(("kmeans", options) for options in (USER, READ_ONLY)),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_any_user_trains_and_serves_where_nothing_can_be_written(
    everything: str,
    strangers: Callable[[Job, int], None],
    tmp_path: Path,
    slug: str,
    options: tuple[str, ...],
) -> None:
    hyperparameters, data, content_type, request, media = JOBS[slug]
    channels = ("train", "validation") if slug == "image-classification" else ("train",)
    job = Job(
        tmp_path / "job",
        {name: str(value) for name, value in hyperparameters.items()},
        {name: {"data.rec": data()} for name in channels},
        dict.fromkeys(channels, content_type),
    )
    strangers(job, 12345 if USER[0] in options else 0)
    chosen = (*options, "--cap-drop", "ALL", "-e", f"OPTML_ALGORITHM={slug}", "-e", "NUMBA_DEBUG_CACHE=1")
    done = job.run(everything, "train", options=("--network", "none", *chosen))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data saved to" not in done.stdout  # what the image has compiled is used
    with server(everything, job.model, *chosen) as serving:
        assert serving.invoke(request, media)


def test_a_container_too_small_for_the_program_says_so(everything: str, tmp_path: Path) -> None:
    hyperparameters, data, content_type, *_ = JOBS["forecasting-deepar"]
    texts = {name: str(value) for name, value in hyperparameters.items()}
    job = Job(tmp_path / "job", texts, {"train": {"data": data()}}, {"train": content_type})
    options = ("--memory", "128m", "-e", "OPTML_ALGORITHM=forecasting-deepar")
    assert job.run(everything, "train", options=options).returncode == 2
    assert "this container may take 128 MiB of memory" in job.failure
