import contextlib
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.errors import UserError
from optml.local.transform.jsonpath import JSONPath
from optml.local.transform.processing import Processing, cells

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"


def processing(media, input_filter="$", output_filter="$", join=False):
    return Processing(JSONPath.parse(input_filter), JSONPath.parse(output_filter), join, media, media)


def test_csv_cells_keep_their_text():
    assert cells('1.10,"a, ""b""",,x') == ["1.10", '"a, ""b"""', "", "x"]


@given(st.text())
def test_cells_joined_are_the_line_again(line):
    assert ",".join(cells(line)) == line


def test_csv_filter_takes_columns_and_logs_them_once(caplog):
    caplog.set_level(logging.INFO)
    job = processing(CSV, input_filter="$[1:2]")
    assert job.outgoing(b"id,1.10,2\r\n") == b"1.10,2\n"
    assert job.outgoing(b'"x,y",3,4') == b"3,4\n"
    assert [record.message for record in caplog.records] == [
        "input filter '$[1:2]' of 3 columns takes number 2, 3"
    ]


def test_csv_join_is_input_then_output_columns():
    assert processing(CSV, join=True).incoming(b"a,1\nb,2\n", b"0.5\n0.7\n") == b"a,1,0.5\nb,2,0.7"


def test_usual_recipe_keeps_the_id_and_the_prediction():
    job = processing(CSV, "$[1:]", "$[0,-1]", join=True)
    assert job.outgoing(b"id7,1,2\n") == b"1,2\n"
    assert job.incoming(b"id7,1,2\n", b"3.0,0.25") == b"id7,0.25"


def test_json_join_adds_a_key_to_an_object():
    found = processing(JSON, join=True).incoming(b'{"id": 1, "x": [0.1]}', b'{"predictions": [2.0]}')
    assert json.loads(found) == {"id": 1, "x": [0.1], "SageMakerOutput": {"predictions": [2.0]}}


def test_json_join_wraps_what_is_no_object():
    found = processing(JSON, join=True).incoming(b"[1, 2]", b'{"score": 1}')
    assert json.loads(found) == {"SageMakerInput": [1, 2], "SageMakerOutput": {"score": 1}}


def test_json_lines_join_line_by_line():
    job = processing(LINES, "$.features", "$['id','SageMakerOutput']", join=True)
    lines = b'{"id":1,"features":[1,2]}\n{"id":2,"features":[3,4]}\n'
    assert job.outgoing(lines) == b"[1,2]\n[3,4]\n"
    assert job.incoming(lines, b'{"score":0.5}\n{"score":0.7}') == (
        b'{"id":1,"SageMakerOutput":{"score":0.5}}\n{"id":2,"SageMakerOutput":{"score":0.7}}'
    )


def test_text_of_json_survives():
    assert (
        processing(JSON, "$.x").outgoing('{"x":"ä€ \\ud83d"}'.encode())
        == b'"\xc3\xa4\xe2\x82\xac \xed\xa0\xbd"'
    )


@pytest.mark.parametrize(
    ("media", "options", "original", "response", "problem"),
    [
        (CSV, {"join": True}, b"1\n2\n", b"5\n", "holds 1 records but answers 2"),
        (CSV, {"output_filter": "$[3]"}, b"", b"1,2\n", "index 3 is out of range: it has 2 columns"),
        (LINES, {"output_filter": "$.a"}, b"", b'{"b": 1}', "it has no key 'a'; its keys: b"),
        (JSON, {"output_filter": "$.a"}, b"", b"<html>", "Failed to parse output from the algorithm as JSON"),
        (CSV, {"output_filter": "$[0]"}, b"", b"\xff", "Failed to parse output from the algorithm as CSV"),
    ],
)
def test_response_that_does_not_fit_says_why(media, options, original, response, problem):
    with pytest.raises(UserError, match=r".") as error:
        processing(media, **options).incoming(original, response)
    assert problem in str(error.value)


@given(st.binary(), st.binary(), st.sampled_from([CSV, JSON, LINES]), st.booleans())
def test_any_bytes_are_processed_or_a_user_error(original, response, media, join):
    job = processing(media, "$[0]", "$[0:]", join)
    with contextlib.suppress(UserError):
        job.outgoing(original)
    with contextlib.suppress(UserError):
        job.incoming(original, response)
