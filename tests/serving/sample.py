"""A small K-Means model, and an algorithm whose requests say what should go wrong."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flask.testing import FlaskClient

from optml.algorithms import kmeans
from optml.algorithms.answers import Response
from optml.algorithms.base import Algorithm, Hyperparameters, Inference, Training
from optml.algorithms.kmeans.model import Model
from optml.errors import UserError
from optml.formats.records import Columns, Records
from optml.serving.app import WorkerState, create_app
from optml.serving.batching import Gate
from optml.serving.models import load
from optml.serving.predictor import Predictor
from optml.serving.served import Served
from optml.serving.settings import Settings

CENTERS = np.array([[0, 0, 0], [1, 1, 1], [8, 8, 8]], np.float32)


def save_kmeans(folder: Path, centers: np.ndarray = CENTERS) -> Path:
    Model(centers, np.ones(len(centers)), {"k": len(centers)}).save(folder)
    return folder


def client(served: Served, settings: Settings = Settings(), **state: Any) -> FlaskClient:  # noqa: B008
    """The application of one worker that has its model, without a server."""
    predictor = Predictor(served, Gate(settings.max_queue), settings)
    return create_app(WorkerState(settings, predictor=predictor, **state)).test_client()


def kmeans_client(folder: Path, settings: Settings = Settings()) -> FlaskClient:  # noqa: B008
    return client(load(save_kmeans(folder)), settings)


def until(path: Path) -> None:
    """Wait for a file that a test makes."""
    while not path.exists():
        time.sleep(0.01)


class Obedient:
    """A model of one feature, which says what to do: see `predict`. With a file `slow` in its folder loading
    waits for a file `go`, and leaves one `loading`."""

    width = 1

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """0 to 100: sleep so many seconds; -1: fail; -2: refuse; -3: die; -4: leave a file `held-PID` in
        the model folder and wait there for a file `go`; else answer."""
        for command in batch.dense()[:, 0].tolist():
            if 0 < command <= 100:
                time.sleep(command)
            elif command == -1:
                raise ZeroDivisionError("secret")
            elif command == -2:
                raise UserError("record 1 of the request is not to my taste")
            elif command == -3:
                os.kill(os.getpid(), signal.SIGKILL)
            elif command == -4:
                assert self.folder is not None
                (self.folder / f"held-{os.getpid()}").touch()
                until(self.folder / "go")
        answer = {"score": batch.dense()[:, 0]}
        return answer | ({"detail": np.repeat(batch.dense(), 2, axis=1)} if options.get("verbose") else {})

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps({"algorithm": "obedient"}))


def _load(folder: Path, device: str) -> Obedient:
    if (folder / "broken").exists():
        raise UserError(f"{folder / 'broken'} is broken; train again")
    if (folder / "bug").exists():
        raise ZeroDivisionError("secret")
    if (folder / "slow").exists():
        (folder / "loading").touch()
        until(folder / "go")
    return Obedient(folder)


def _never(_: Any) -> Iterator[Any]:
    raise NotImplementedError


ALGORITHM = Algorithm(
    slug="obedient",
    title="Obedient",
    task="test",
    hyperparameters=Hyperparameters,
    training=Training(
        channels=(),
        metrics=(),
        learner=_never,
    ),
    inference=Inference(
        content_types=kmeans.ALGORITHM.inference.content_types,
        accepts=kmeans.ALGORITHM.inference.accepts,
        response=Response(fields=("score", "detail")),
        load=_load,
        recognises=lambda _: False,
    ),
)


def served(model: Any = None) -> Served:
    """`Obedient`, or another model, as if it were its own."""
    return Served(ALGORITHM, model or Obedient(), seconds=float("inf"))
