"""OPTML_BAD_RECORD=null: a record without an answer leaves its place to what is wrong with it."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats.content_type import CSV, JSON, JSON_LINES, PARQUET, RECORDIO_PROTOBUF
from optml.formats.record_message import messages
from optml.serving import predictor as module
from optml.serving.batching import Gate
from optml.serving.errors import RequestError
from optml.serving.predictor import Predictor
from optml.serving.served import Served
from optml.serving.settings import Settings
from tests.serving import every
from tests.shared import SHARED, needs_shared


def answer(
    name: str,
    body: bytes,
    content_type: str,
    accept: str = JSON_LINES,
    bad_record: Any = "null",
    **given: Any,
) -> bytes:
    predictor = Predictor(every.served(name), Gate(1), Settings(bad_record=bad_record, **given))
    return predictor.answer(body, content_type, accept, time.monotonic() + 60)[0]


def rows(body: bytes, media: str) -> list[Any]:
    """The single answers of a body."""
    if media == RECORDIO_PROTOBUF:
        return [message.SerializeToString() for message in messages(BytesIO(body), source="the answer")]
    if media != JSON:
        return body.splitlines()
    document = json.loads(body)
    return list(next(iter(document.values())) if isinstance(document, dict) else document)


def has_reason(row: Any, media: str) -> bool:
    if media == RECORDIO_PROTOBUF:
        return b'{"error": "' in row
    if media == CSV:
        return bool(row.startswith(b'"') and row.endswith(b'"'))
    return set(row if media == JSON else json.loads(row)) == {"error"}


@pytest.mark.parametrize("batch", [False, True], ids=["live", "batch"])
@pytest.mark.parametrize(("name", "media"), [case for case in every.SEVERAL if case[1] != PARQUET])
def test_a_bad_record_leaves_its_place_and_the_others_have_their_answers(
    name: str, media: str, batch: bool
) -> None:
    algorithm = every.served(name).algorithm
    for accept in every.accepts(name, media):
        written = media if algorithm.inference.follows_request else accept
        sound = answer(name, every.request(name, media, (0, 2, 3)), media, accept, "error", batch=batch)
        mixed = answer(name, every.request(name, media, (0, 1, 2, 3), bad=[1]), media, accept, batch=batch)
        found = rows(mixed, written)
        assert has_reason(found.pop(1), written), mixed
        assert found == rows(sound, written)


@pytest.mark.parametrize(("name", "media"), every.SEVERAL)
def test_without_it_one_bad_record_is_the_request_s_fault(name: str, media: str) -> None:
    body = every.request(name, media)[:-9] if media == PARQUET else every.request(name, media, bad=[1])
    for bad_record in ("error", "null") if media == PARQUET else ("error",):
        with pytest.raises(RequestError) as refused:
            answer(name, body, media, bad_record=bad_record)
        assert refused.value.status in (400, 415)


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b'{"instances": [{"features": [1, 2, 3]}, {"features": [1, "x", 3]}]}', JSON),
        (
            b'{"instances": [{"data": {"features": {"keys": [0], "shape": [3], "values": [1.5]}}}, '
            b'{"data": {"features": {"keys": [7], "shape": [3], "values": [1.5]}}}]}',
            JSON,
        ),
        (b'{"predictions": [{"projection": [1, 2, 3]}, {"projection": [1, 2]}]}', JSON),
        (b"[[1, 2, 3], [1, NaN, 2],]", JSON),
        (b"\xef\xbb\xbfa,b,c\r\n\r\n1,2,3\r\n1,2\r\n", f"{CSV};header=present"),
        ("1,2,3\n1,ä,3".encode("utf-16"), f"{CSV};encoding=utf-16"),
        (b"1,2,3\r1,2\r", CSV),
    ],
)
def test_records_are_told_apart_in_every_form_of_a_request(body: bytes, media: str) -> None:
    good, bad = answer("kmeans", body, media).splitlines()
    assert set(json.loads(good)) == {"closest_cluster", "distance_to_cluster"}
    assert set(json.loads(bad)) == {"error"}


def test_a_record_that_is_longer_than_what_is_parsed_at_once_is_answered_alone() -> None:
    long = "1, " * 200_000 + "1"
    body = f'{{"instances": [{{"features": [1, 2, 3]}}, {{"features": [{long}]}}], "more": [[{long}]]}}'
    good, bad = map(json.loads, answer("kmeans", body.encode(), JSON).splitlines())
    assert set(good) == {"closest_cluster", "distance_to_cluster"}
    assert "200001 values" in bad["error"]


def test_a_record_of_pairs_may_hold_line_ends_in_quotes() -> None:
    found = answer("ipinsights", b'"a\nb",1.2.3.4\n"c\nd",no\n"e""\r\n",1.2.3.4', CSV).splitlines()
    assert [list(json.loads(line)) for line in found] == [["dot_product"], ["error"], ["dot_product"]]


def test_what_is_wrong_is_said_in_one_line_without_a_place() -> None:
    """Each record is tried alone, so it would always be the first."""
    lines = answer("kmeans", b"1,2,3\n1,nan,inf\n1,x,3\n", CSV, CSV).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(
        b'"the record holds NaN, a missing value (as are an empty cell, NA and the like),'
    )
    assert b" in feature 2 the record holds infinity" in lines[1]
    assert lines[2].startswith(b"\"the record holds the text 'x' in column 2; expected a number")


def test_answers_in_record_io_keep_the_uids_and_metadata_of_their_records() -> None:
    body = every.request("kmeans", RECORDIO_PROTOBUF, bad=[1])
    found = list(messages(BytesIO(answer("kmeans", body, RECORDIO_PROTOBUF, RECORDIO_PROTOBUF)), source="x"))
    assert [message.uid for message in found] == ["uid0", "", "uid2"]
    assert [message.metadata for message in found[::2]] == ["note 0", "note 2"]
    assert "4 values" in json.loads(found[1].metadata)["error"]


@pytest.mark.parametrize("name", ["blazingtext", "forecasting-deepar"])
def test_what_is_asked_of_all_records_is_no_fault_of_each(name: str) -> None:
    document = json.loads(every.request(name, JSON)) | {"configuration": {"k": "x", "num_samples": "x"}}
    with pytest.raises(RequestError) as refused:
        answer(name, json.dumps(document).encode(), JSON)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b'{"instances": [{"features": [1, 2, 3]}', JSON),
        (b'{"rows": []}', JSON),
        (b'{"instances": []', JSON),
        (b"\n\n", CSV),
        (every.request("kmeans", RECORDIO_PROTOBUF, bad=[1])[:-4], RECORDIO_PROTOBUF),
        (b"1,2,3\n4;5;6\n", CSV),  # each is sound, but they are of two dialects
    ],
)
def test_what_cannot_be_told_apart_is_refused_as_a_whole(body: bytes, media: str) -> None:
    with pytest.raises(RequestError) as refused:
        answer("kmeans", body, media)
    assert refused.value.status == 400


class Picky:
    """A model that takes whole numbers only; `asked`: how many records it was asked each time."""

    width = 1

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, batch: Any, options: Any) -> dict[str, np.ndarray]:
        values = batch.dense()[:, 0]
        self.asked.append(len(values))
        if (values != np.floor(values)).any():
            raise UserError("a half is not to my taste")
        return {"score": values}

    def save(self, folder: Any) -> None: ...


def picky(body: bytes, seconds: float = 60.0) -> tuple[list[bytes], Picky]:
    model = Picky()
    algorithm = every.served("kmeans").algorithm
    response = replace(algorithm.inference.response, fields=("score",))
    inference = replace(algorithm.inference, accepts=(CSV,), response=response)
    algorithm = replace(algorithm, inference=inference)
    predictor = Predictor(Served(algorithm, model), Gate(1), Settings(bad_record="null"))
    return predictor.answer(body, CSV, CSV, time.monotonic() + seconds)[0].splitlines(), model


def test_few_bad_records_among_many_take_few_tries() -> None:
    numbers = [b"%d" % number for number in range(1024)]
    numbers[77] = numbers[900] = b"0.5"
    found, model = picky(b"\n".join(numbers))
    assert [place for place, row in enumerate(found) if row.startswith(b'"')] == [77, 900]
    assert found[78] == b"78.0"
    assert len(model.asked) < 2 * 2 * 10 + 4


def test_a_request_of_nothing_but_bad_records_is_refused_where_there_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(picky(b"0.5\n" * 3)[0]) == 3
    monkeypatch.setattr(module, "MOST_BAD", 2)
    with pytest.raises(RequestError, match="not to my taste"):
        picky(b"0.5\n" * 3)


def test_of_a_long_request_no_more_is_tried_than_it_takes_to_refuse_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_BAD", 5)
    asked: list[int] = []
    monkeypatch.setattr(Picky, "asked", property(lambda self: asked, lambda self, value: None), raising=False)
    with pytest.raises(RequestError, match="not to my taste"):
        picky(b"0.5\n" * 100_000)
    assert len(asked) < 60


def test_the_search_ends_with_the_request_s_time() -> None:
    with pytest.raises(RequestError) as refused:
        picky(b"0.5\n1\n", seconds=-1.0)
    assert refused.value.status == 503


@needs_shared("cases/bt_bad_record.jsonl")
def test_the_text_that_is_a_number_has_no_label_and_its_neighbours_have_theirs() -> None:
    lines = answer("blazingtext", (SHARED / "cases/bt_bad_record.jsonl").read_bytes(), JSON_LINES)
    found = [set(json.loads(line)) for line in lines.splitlines()]
    assert found == [{"prob", "label"}, {"error"}, {"prob", "label"}]


FORMS = ["", JSON, JSON_LINES, CSV, f"{CSV};header=present", RECORDIO_PROTOBUF, "text/libsvm"]


@pytest.mark.parametrize(
    "name",
    ["xgboost", "ipinsights", "blazingtext", "forecasting-deepar", *every.PICTURES, "object2vec", "seq2seq"],
)
def test_no_bytes_make_it_our_fault(name: str) -> None:
    texts = [every.request(name, media, bad=[1]) for media in every.content_types(name)]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(texts), st.data(), st.sampled_from(FORMS))
    def check(text: bytes, data: st.DataObject, form: str) -> None:
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, len(text)))
        with contextlib.suppress(RequestError):  # anything else would be a status of 500
            answer(name, text[:start] + data.draw(st.binary(max_size=4)) + text[stop:], form)

    check()
