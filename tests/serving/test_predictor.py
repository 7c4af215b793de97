"""Algorithms that read requests of their own kind."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optml.algorithms.answers import Written
from optml.algorithms.kmeans import ALGORITHM
from optml.errors import UserError
from optml.formats.content_type import ContentType
from optml.serving.batching import Batcher, Gate, Queue
from optml.serving.errors import RequestError
from optml.serving.predictor import Predictor
from optml.serving.served import Served
from optml.serving.settings import Settings


class Shouting:
    width = None

    def predict(self, batch: list[str], options: Any) -> dict[str, np.ndarray]:
        return {"text": np.array([text.upper() for text in batch], object)}

    def save(self, folder: Any) -> None: ...


def decode(body: bytes, form: ContentType, model: Any) -> list[str]:
    if body == b"?":
        raise UserError("no text")
    return body.decode().split(",")


TEXTS = replace(
    ALGORITHM.inference,
    content_types=("text/csv", "application/jsonlines"),
    decode=decode,
    encode=lambda columns, media, answer: Written([f"{media} {columns['text'].tolist()}".encode()]),
)


def answer(body: bytes, accept: str, queue: Queue | None = None, **changes: Any) -> tuple[bytes, str]:
    served = Served(replace(ALGORITHM, inference=replace(TEXTS, **changes)), Shouting())
    predictor = Predictor(served, queue or Gate(1), Settings.of_environment({"OPTML_BAD_RECORD": "null"}))
    return predictor.answer(body, "text/csv", accept, time.monotonic() + 10)


@pytest.mark.parametrize("queue", [Gate(1), Batcher(10, 0.0, 1)])
def test_an_algorithm_decodes_and_encodes_what_is_no_table(queue: Queue) -> None:
    body, media = answer(b"a,b", "application/json", queue)
    assert (body, media) == (b"application/json ['A', 'B']", "application/json")


def test_an_answer_that_its_type_cannot_hold_is_the_callers_to_change() -> None:
    def encode(columns: Any, media: str, _: Any) -> Written:
        raise UserError(f"{media} is too small; ask for another")

    with pytest.raises(RequestError, match="application/json is too small; ask for another") as caught:
        answer(b"a", "application/json", encode=encode)
    assert caught.value.status == 400


def test_an_answer_may_follow_the_request_whatever_accept_says() -> None:
    assert answer(b"a", "application/json", follows_request=True)[1] == "text/csv"


def test_a_body_that_it_refuses_is_the_clients_fault() -> None:
    with pytest.raises(RequestError, match="no text") as refused:
        answer(b"?", "")
    assert refused.value.status == 400
