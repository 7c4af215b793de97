"""Algorithms that decode their own requests read hostile ones as cheaply as tables are read."""

from __future__ import annotations

import gc
import math
import tracemalloc
from contextlib import suppress

import pytest

from optml.errors import UserError
from optml.formats.content_type import CSV, JSON, JSON_LINES, ContentType
from optml.serving import predictor as module
from optml.serving.batching import Gate
from optml.serving.errors import RequestError
from optml.serving.pieces import pieces
from optml.serving.predictor import Predictor
from optml.serving.settings import Settings
from tests.fuzz.hostile import bodies
from tests.serving.every import served

SLACK = 24 << 20  # bytes that a block at work may take, however large the body is


@pytest.mark.parametrize(
    ("name", "media", "body"),
    [
        ("ipinsights", CSV, "ones in quotes"),
        ("ipinsights", CSV, "a long line of words"),
        ("ipinsights", JSON, "instances: empty lists"),
        ("ipinsights", JSON_LINES, "blank lines"),
        ("blazingtext", JSON, "instances: empty objects"),
        ("blazingtext", JSON_LINES, "empty objects"),
        ("forecasting-deepar", JSON, "instances: empty lists"),
        ("forecasting-deepar", JSON_LINES, "blank lines"),
        ("forecasting-deepar", JSON, "instances: series"),
        ("object2vec", JSON, "instances: empty lists"),
        ("object2vec", JSON, "instances: empty objects"),
        ("object2vec", JSON_LINES, "blank lines"),
    ],
)
def test_decoding_takes_at_most_ten_times_the_memory_of_the_body(name: str, media: str, body: str) -> None:
    predictor = Predictor(served(name), Gate(1), Settings())
    text = dict(bodies(media, 5 << 19))[body]

    def decode(text: bytes) -> None:
        with suppress(UserError):
            predictor.decode(text, ContentType(media))

    decode(text[: 1 << 16])  # imports
    gc.collect()
    tracemalloc.start()
    try:
        decode(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(text) + SLACK, f"{peak / len(text):.1f} times"


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (JSON, "instances: lists in lists"),
        (JSON, "features: lists with a comma too many"),
        (CSV, "lines of quotes"),
        (CSV, "a row, then ones between blank lines"),
    ],
)
def test_answering_bad_records_alone_takes_no_more_memory(
    media: str, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BAD", 500)
    predictor = Predictor(served("kmeans"), Gate(1), Settings(bad_record="null"))
    text = dict(bodies(media, 5 << 18))[body]

    def answer(text: bytes) -> None:
        with suppress(RequestError):
            predictor.answer(text, media, "", math.inf)

    answer(text[: 1 << 12])  # imports
    gc.collect()
    tracemalloc.start()
    try:
        answer(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(text) + SLACK, f"{peak / len(text):.1f} times"


def test_a_series_of_a_long_target_is_read_whole() -> None:
    """In runs, which must not show."""
    predictor = Predictor(served("forecasting-deepar"), Gate(1), Settings())
    target = ",".join(str(step % 7) for step in range(200_000))
    body = f'{{"instances": [{{"start": "2016-01-01", "target": [{target}, null, "NaN"], "cat": [0]}}]}}'
    request = predictor.decode(body.encode(), ContentType(JSON))
    assert request.series.lengths.tolist() == [200_002]
    assert request.series.target[:7].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert request.series.observed[199_999:200_002].tolist() == [True, False, False]


def test_pairs_beyond_the_first_run_are_read_and_named() -> None:
    predictor = Predictor(served("ipinsights"), Gate(1), Settings())
    records = ['{"features": ["user", "1.1.1.1"]}'] * 30_000
    for media, text in (
        (JSON, '{"instances": [' + ",".join(records) + "]}"),
        (JSON_LINES, "\n".join(records)),
    ):
        assert len(predictor.decode(text.encode(), ContentType(media))) == 30_000
        broken = text[: text.rindex("1.1.1.1")] + "1.1.1" + text[text.rindex("1.1.1.1") + 7 :]
        with pytest.raises(UserError, match="record 30000 has"):
            predictor.decode(broken.encode(), ContentType(media))


@pytest.mark.parametrize("start", [b"", b"1,2,3\n"], ids=["tabs", "a row, then tabs"])
def test_a_long_run_of_tabs_is_looked_over_once_where_bad_records_are_answered_alone(start: bytes) -> None:
    """Looked over from each tab it would take hours."""
    groups = pieces(start + b"\t" * (6 << 20), ContentType(CSV)).groups
    assert sum(len(group) for group in groups) <= 2
