"""The deadline of a request ends its work, not its answer alone; a large one is predicted part by part."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from optml.formats import tabular
from optml.formats.content_type import CSV, PARQUET, ContentType
from optml.formats.records import Columns, Records
from optml.serving import predictor as module
from optml.serving.batching import Gate
from optml.serving.errors import RequestError
from optml.serving.predictor import Predictor
from optml.serving.served import Served
from optml.serving.settings import Settings
from tests.serving.every import CASES, NAMES, ROWS, request, served

TABLES = [name for name in NAMES if served(name).algorithm.inference.decode is None]


class Counting:
    """A queue that passes on what comes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict(self, served: Served, records: Any, options: Mapping[str, str], deadline: float) -> Columns:
        self.sizes.append(len(records))
        return served.model.predict(records, options)


@pytest.mark.parametrize(("name", "media"), [case for case in CASES if case[0] in TABLES])
def test_records_predicted_in_parts_have_the_same_answers(
    name: str, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Counting()
    predictor = Predictor(served(name), queue, Settings())
    records = predictor.decode(request(name, media, (0, 1, 2, 3, 4)), ContentType(media))
    whole = predictor._predict(records, {}, math.inf)
    monkeypatch.setattr(module, "PART", 2)
    parts = predictor._predict(records, {}, math.inf)
    assert queue.sizes == [5, 2, 2, 1]
    assert list(parts) == list(whole)
    for column, values in parts.items():
        np.testing.assert_allclose(values, whole[column], rtol=1e-5)  # sums of other order


def test_decoding_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = []

    def endless(*_: Any, **__: Any) -> Any:
        while True:
            blocks.append(Records(ROWS))
            yield blocks[-1]

    monkeypatch.setattr(tabular, "blocks", endless)
    with pytest.raises(RequestError) as refused:
        Predictor(served("kmeans"), Gate(1), Settings()).answer(b"1", CSV, "", time.monotonic() - 1)
    assert refused.value.status == 503
    assert len(blocks) == 1


def test_predicting_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 2)
    queue = Counting()
    ticks = iter([0.0, 1.0, 2.0])  # before each part
    monkeypatch.setattr(module.time, "monotonic", lambda: next(ticks))
    with pytest.raises(RequestError) as refused:
        Predictor(served("kmeans"), queue, Settings())._predict(Records(ROWS), {}, 1.5)
    assert refused.value.status == 503
    assert queue.sizes == [2, 2]


def test_what_is_compressed_inside_is_held_against_the_same_limit() -> None:
    """A few bytes of Parquet can stand for any number of equal values."""
    body = tabular.write(Records(np.zeros((100_000, 3), np.float32)), ContentType(PARQUET))
    assert len(body) < 10_000
    settings = Settings(max_content_length=100_000)
    with pytest.raises(RequestError) as refused:
        Predictor(served("xgboost"), Gate(1), settings).answer(body, PARQUET, "", math.inf)
    assert refused.value.status == 413
    assert Predictor(served("xgboost"), Gate(1), Settings()).answer(body, PARQUET, "", math.inf)[0]
