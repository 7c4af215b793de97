"""A server in this process, in the place of `Client`: real decoders and encoders, any model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from optml.algorithms.kmeans import ALGORITHM
from optml.formats.records import Columns, Records
from optml.local.client import Reply
from optml.serving.batching import Gate
from optml.serving.errors import RequestError
from optml.serving.predictor import Predictor
from optml.serving.served import Served
from optml.serving.settings import Settings


class Echo:
    """Answers each record with its first feature."""

    width = 2

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        return {"score": batch.dense()[:, 0]}

    def save(self, folder: Any) -> None: ...


ECHO = replace(
    ALGORITHM,
    inference=replace(
        ALGORITHM.inference,
        content_types=(*ALGORITHM.inference.content_types, "text/libsvm"),
        response=replace(ALGORITHM.inference.response, fields=("score",)),
    ),
)


class InProcess:
    """What `local.client.Client` offers, without HTTP. `bodies`: of the requests, as they came."""

    def __init__(
        self, served: Served | None = None, parameters: Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        self.bodies: list[bytes] = []
        self._parameters = parameters or {}
        served = served or Served(ECHO, Echo())
        self._predictor = Predictor(served, Gate(64), Settings(batch=True, **settings))

    def __call__(self, *_: Any) -> InProcess:
        return self

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None: ...

    def get(self, path: str) -> Reply:
        return Reply(200, {}, json.dumps(self._parameters).encode())

    def post(
        self, path: str, body: bytes | Callable[[], Iterator[bytes]], headers: Mapping[str, str]
    ) -> Reply:
        content = body if isinstance(body, bytes) else b"".join(body())
        self.bodies.append(content)
        try:
            answer, media = self._predictor.answer(
                content, headers.get("Content-Type", ""), headers.get("Accept", ""), time.monotonic() + 60
            )
        except RequestError as refusal:
            return Reply(refusal.status, {}, refusal.message.encode())
        return Reply(200, {"content-type": media}, answer)
