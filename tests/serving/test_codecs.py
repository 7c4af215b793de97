import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.answers import Response
from optml.formats import record_protobuf as protobuf
from optml.formats.layout import Layout
from optml.serving.codecs import encode, lines

KMEANS = Response(fields=("closest_cluster", "distance_to_cluster"))
ANSWER = {
    "closest_cluster": np.array([3.0], np.float32),
    "distance_to_cluster": np.array([0.27046188712120056], np.float32),
}


@pytest.mark.parametrize(
    ("media", "text"),
    [
        (
            "application/json",
            b'{"predictions": [{"closest_cluster": 3.0, "distance_to_cluster": 0.27046188712120056}]}',
        ),
        ("application/jsonlines", b'{"closest_cluster": 3.0, "distance_to_cluster": 0.27046188712120056}\n'),
        ("text/csv", b"3.0,0.27046188712120056\n"),
    ],
)
def test_an_answer_has_the_digits_and_separators_of_aws(media: str, text: bytes) -> None:
    assert encode(ANSWER, media, KMEANS) == text


RAGGED = {
    "label": np.array([1.0, 2.0], np.float32),
    "distances": np.ma.array(np.array([[3, 4], [5, 9]], np.float32), mask=[[False, False], [False, True]]),
}


@pytest.mark.parametrize(
    ("media", "text"),
    [
        (
            "application/json",
            b'{"predictions": [{"label": 1.0, "distances": [3.0, 4.0]}, {"label": 2.0, "distances": [5.0]}]}',
        ),
        ("text/csv", b"1.0,3.0,4.0\n2.0,5.0\n"),
    ],
)
def test_vectors_may_be_shorter_than_others(media: str, text: bytes) -> None:
    assert encode(RAGGED, media, Response(fields=("label", "distances"))) == text


def test_recordio_holds_vectors_shorter_than_others() -> None:
    fields = Response(fields=("label", "distances"))
    body = encode(RAGGED, "application/x-recordio-protobuf", fields, uids=("a", "b"), failed={1: "no"})
    short = {"label": np.array([2.0], np.float32), "distances": np.array([[5.0]], np.float32)}
    assert body.endswith(encode(short, "application/x-recordio-protobuf", fields, uids=("b",)))
    assert encode(RAGGED, "application/x-recordio-protobuf", fields, uids=("a", "b")).count(b"distances") == 2


def test_recordio_holds_one_record_per_row() -> None:
    columns = {"score": np.array([1.5, 2.5, 3.5], np.float32)}
    body = encode(columns, "application/x-recordio-protobuf", Response(fields=("score",)))
    assert protobuf.decode(body, Layout(None)).features.tolist() == [[1.5], [2.5], [3.5]]


def test_a_batch_transform_job_gets_no_final_newline() -> None:
    assert encode(ANSWER, "text/csv", KMEANS, final_newline=False) == b"3.0,0.27046188712120056"


def test_fields_come_in_the_documented_order() -> None:
    shuffled = {name: ANSWER[name] for name in reversed(ANSWER)}
    assert encode(shuffled, "text/csv", KMEANS) == encode(ANSWER, "text/csv", KMEANS)


LINEAR = Response(
    fields=("score", "predicted_label"), csv_fields=("predicted_label", "score"), compact_lines=True
)


def test_compact_lines_are_sorted_and_cut_at_15_digits() -> None:
    columns = {"score": np.array([0.5041388273239136, 0.5], np.float32), "predicted_label": np.array([1, 0])}
    body = encode(columns, "application/jsonlines", LINEAR)
    assert body == b'{"predicted_label":1,"score":0.504138827323913}\n{"predicted_label":0,"score":0.5}\n'
    assert encode(columns, "application/jsonlines", LINEAR, final_newline=False) == body[:-1]
    assert encode(columns, "application/json", LINEAR) == (
        b'{"predictions": [{"score": 0.5041388273239136, "predicted_label": 1}, '
        b'{"score": 0.5, "predicted_label": 0}]}'
    )
    vectors = {"score": np.array([[1 / 3, 0.25]]), "predicted_label": np.array([0])}
    body = encode(vectors, "application/jsonlines", LINEAR)
    assert body == b'{"predicted_label":0,"score":[0.333333333333333,0.25]}\n'


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_compact_numbers_are_the_longer_ones_cut(value: float) -> None:
    body = encode({"x": np.array([value])}, "application/jsonlines", Response(compact_lines=True))
    cut = json.loads(body)["x"]
    if math.isinf(cut) or abs(value) < 1e-300:  # fewer digits than 15 there
        return
    assert abs(cut) <= abs(value)
    assert cut == pytest.approx(value, rel=1.1e-14)  # the 15th digit of a number that begins with 1


def test_csv_has_an_order_of_its_own() -> None:
    columns = {"score": np.array([[0.25, 0.75]], np.float32), "predicted_label": np.array([1])}
    assert encode(columns, "text/csv", LINEAR) == b"1,0.25,0.75\n"
    assert encode({"score": np.array([2.5])}, "text/csv", LINEAR) == b"2.5\n"  # of a regressor


def test_no_records_make_an_empty_list() -> None:
    nothing = {name: np.empty(0, np.float32) for name in KMEANS.fields}
    assert encode(nothing, "application/json", KMEANS) == b'{"predictions": []}'
    assert encode(nothing, "application/jsonlines", KMEANS) == b""
    assert encode(nothing, "application/x-recordio-protobuf", KMEANS) == b""


def test_vectors_are_lists_in_json_and_flat_in_csv() -> None:
    columns = {"score": np.array([1.0, 2.0]), "labels": np.array([[1.0, 2.0], [3.0, 4.0]])}
    body = encode(columns, "application/json", Response("scores", ("score",)))
    assert body == b'{"scores": [{"score": 1.0, "labels": [1.0, 2.0]}, {"score": 2.0, "labels": [3.0, 4.0]}]}'
    assert encode(columns, "text/csv", Response()) == b"1.0,1.0,2.0\n2.0,3.0,4.0\n"


def test_whole_numbers_truth_and_text_are_written_as_such() -> None:
    columns = {"n": np.array([1, 2]), "ok": np.array([True, False]), "word": np.array(['a"b', "c,d"])}
    body = encode(columns, "application/jsonlines", Response())
    assert [json.loads(line) for line in body.splitlines()] == [
        {"n": 1, "ok": True, "word": 'a"b'},
        {"n": 2, "ok": False, "word": "c,d"},
    ]
    rows = list(csv.reader(io.StringIO(encode(columns, "text/csv", Response()).decode())))
    assert rows == [["1", "true", 'a"b'], ["2", "false", "c,d"]]


def test_what_is_not_finite_is_written_as_python_writes_json() -> None:
    values = np.array([np.nan, np.inf, -np.inf], np.float32)
    for repeat in (1, 100):  # few numbers and many take different ways
        body = encode({"x": np.tile(values, repeat)}, "application/json", Response())
        found = [record["x"] for record in json.loads(body)["predictions"][:3]]
        assert math.isnan(found[0])
        assert found[1:] == [math.inf, -math.inf]


@given(st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_many_numbers_are_written_as_few_are(values: list[float]) -> None:
    few = [encode({"x": np.array([value], np.float32)}, "text/csv", Response()) for value in values]
    many = encode({"x": np.array(values * 100, np.float32)}, "text/csv", Response())
    assert many == b"".join(few) * 100


def test_a_record_that_failed_keeps_its_place() -> None:
    columns = {"score": np.array([1.0, 2.0], np.float32)}
    failed = {1: 'bad "x"'}
    body = encode(columns, "application/json", Response(), failed=failed)
    assert json.loads(body) == {"predictions": [{"score": 1.0}, {"error": 'bad "x"'}, {"score": 2.0}]}
    assert encode(columns, "text/csv", Response(), failed=failed) == b'1.0\n"bad ""x"""\n2.0\n'
    body = encode(columns, "application/x-recordio-protobuf", Response(), failed=failed)
    assert np.isnan(protobuf.decode(body, Layout(None)).features[1, 0])


def test_long_answers_are_cut_at_line_ends() -> None:
    body = b"".join(b"%d\n" % number for number in range(1000)) + b"no end"
    pieces = lines(body, 100)
    assert b"".join(pieces) == body
    assert len(pieces) > 10
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])
