"""The deadline of a request ends its work, not its answer alone; a large one is predicted part by part."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from optml.formats import tabular
from optml.formats.content_type import CSV, PARQUET, ContentType
from optml.formats.records import Records
from optml.serving import batching
from optml.serving.batching import Gate
from optml.serving.errors import RequestError
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings
from tests.serving.every import CASES, NAMES, ROWS, request, served

TABLES = [name for name in NAMES if served(name).algorithm.inference.decode is None]


@pytest.mark.parametrize(("name", "media"), [case for case in CASES if case[0] in TABLES])
def test_records_predicted_in_parts_have_the_same_answers(
    name: str, media: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(served(name), Gate(1), Settings())
    records = predictor.decode(request(name, media, (0, 1, 2, 3, 4)), ContentType(media))
    whole = predictor._predict(records, {}, math.inf)
    monkeypatch.setattr(batching, "RUN", 2)
    parts = predictor._predict(records, {}, math.inf)
    assert list(parts) == list(whole)
    for column, values in parts.items():
        np.testing.assert_allclose(values, whole[column], rtol=1e-5)  # sums of other order
        np.testing.assert_array_equal(np.ma.getmaskarray(values), np.ma.getmaskarray(whole[column]))


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


def test_what_is_compressed_inside_is_held_against_the_same_limit() -> None:
    """A few bytes of Parquet can stand for any number of equal values."""
    body = tabular.write(Records(np.zeros((100_000, 3), np.float32)), ContentType(PARQUET))
    assert len(body) < 10_000
    settings = Settings(max_content_length=100_000)
    with pytest.raises(RequestError) as refused:
        Predictor(served("xgboost"), Gate(1), settings).answer(body, PARQUET, "", math.inf)
    assert refused.value.status == 413
    assert Predictor(served("xgboost"), Gate(1), Settings()).answer(body, PARQUET, "", math.inf)[0]
