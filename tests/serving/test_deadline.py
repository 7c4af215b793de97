"""The deadline of a request ends its work, not its answer alone; a large one is predicted part by part."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from optml import deadline
from optml.deadline import Overdue
from optml.formats import documents, tabular
from optml.formats.content_type import CSV, JSON, JSON_LINES, PARQUET, RECORDIO_PROTOBUF, ContentType
from optml.formats.records import Records
from optml.serving import batching
from optml.serving.batching import Gate
from optml.serving.errors import RequestError
from optml.serving.predictor import Predictor
from optml.serving.served import Served
from optml.serving.settings import Settings
from tests.serving.every import CASES, NAMES, PICTURES, ROWS, request, served


@pytest.mark.parametrize(("name", "media"), CASES)
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
        if values.dtype == object:
            np.testing.assert_equal(values.tolist(), whole[column].tolist())
            continue
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


@pytest.mark.parametrize(("name", "media"), [case for case in CASES if case[1] in (JSON, JSON_LINES)])
def test_at_the_deadline_nothing_more_is_read(name: str, media: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever decodes: a long document, and a text of many lines, of which each run is looked at."""
    monkeypatch.setattr(documents, "RUN", 64)
    body = request(name, media, range(40))
    predictor = Predictor(served(name), Gate(1), Settings())
    with pytest.raises(RequestError) as refused:
        predictor.answer(body, media, "", time.monotonic() - 1)
    assert refused.value.status == 503


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PICTURES])
def test_predicting_ends_at_the_deadline(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is no table: paths of series, words, texts, pairs."""
    media = JSON_LINES if (name, JSON_LINES) in CASES else next(form for one, form in CASES if one == name)
    records = Predictor(served(name), Gate(1), Settings()).decode(request(name, media), ContentType(media))
    model, calls = served(name).model, []

    class Slow:
        width = model.width

        def predict(self, batch: Any, options: Any) -> Any:
            calls.append(len(batch))
            monkeypatch.setattr(
                deadline, "time", SimpleNamespace(monotonic=lambda: math.inf)
            )  # it takes long
            return model.predict(batch, options)

    monkeypatch.setattr(batching, "RUN", 1)
    slow = Served(served(name).algorithm, Slow(), seconds=1.0)  # type: ignore[arg-type]
    with pytest.raises((RequestError, Overdue)):
        Gate(1).predict(slow, records, {}, time.monotonic() + 60)
    assert calls == [1]


@pytest.mark.parametrize("media", [JSON, JSON_LINES, CSV, RECORDIO_PROTOBUF])
def test_an_answer_that_is_much_longer_than_its_request_is_refused(media: str) -> None:
    body = tabular.write(Records(np.tile(ROWS, (100, 1))), ContentType(CSV))
    settings = Settings(max_answer=30_000)
    algorithm = served("kmeans").algorithm
    short = Predictor(served("kmeans"), Gate(1), settings).answer(
        body[: len(body) // 20], CSV, media, math.inf
    )
    assert len(short[0]) < settings.max_answer
    assert media in [form.split(";")[0] for form in algorithm.inference.accepts]
    with pytest.raises(RequestError, match="OPTML_MAX_ANSWER_MB") as refused:
        Predictor(served("kmeans"), Gate(1), settings).answer(body, CSV, media, math.inf)
    assert refused.value.status == 413


def test_no_more_vectors_of_words_are_made_than_an_answer_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word of a letter has a vector of hundreds of numbers: its request would take gigabytes."""
    monkeypatch.setattr(batching, "RUN", 10)
    made = []
    model = served("blazingtext words").model

    class Counted:
        width = None

        def predict(self, batch: Any, options: Any) -> Any:
            made.append(len(batch))
            return model.predict(batch, options)

    counted = Served(served("blazingtext words").algorithm, Counted(), seconds=1.0)  # type: ignore[arg-type]
    body = b'{"instances": [%b]}' % b", ".join([b'"a"'] * 1000)
    with pytest.raises(RequestError, match="OPTML_MAX_ANSWER_MB"):
        Predictor(counted, Gate(1, 1000), Settings()).answer(body, JSON, "", math.inf)
    assert sum(made) < 100
