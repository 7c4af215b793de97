import pytest

from optml.algorithms.kmeans import ALGORITHM
from optml.serving.errors import RequestError
from optml.serving.negotiation import of_answer, of_request, speaks_json

OFFERED = ("application/json", "application/jsonlines", "application/x-recordio-protobuf", "text/csv")


@pytest.mark.parametrize(
    ("header", "media"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/html, text/csv", "text/csv"),
        ("text/csv;q=0.1, application/jsonlines;q=0.5", "application/jsonlines"),
        ("text/csv, application/json", "text/csv"),
        ("application/json;q=0, */*;q=0.1", "application/json"),
        ("image/png, */*;q=0.8", "application/json"),
        ("text/csv; q=much", "text/csv"),
    ],
)
def test_the_best_of_what_is_offered_is_taken(header: str, media: str) -> None:
    assert of_answer(header, OFFERED)[0] == media


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_parameters_of_accept_become_options(value: str) -> None:
    assert of_answer(f"application/json; Verbose={value}; q=0.5", OFFERED)[1] == {"verbose": "true"}


@pytest.mark.parametrize("header", ["image/png", "text/csv;q=0", ",", "application/xml, text/html"])
def test_an_unknown_accept_is_406_and_lists_what_is_supported(header: str) -> None:
    with pytest.raises(RequestError, match=r"Accept type .* is not supported.*text/csv") as caught:
        of_answer(header, OFFERED)
    assert caught.value.status == 406


@pytest.mark.parametrize("header", ["", "application/octet-stream", "binary/octet-stream"])
@pytest.mark.parametrize(
    ("body", "media"),
    [
        (b'{"instances": []}', "application/json"),
        (b'{"features": [1]}', "application/jsonlines"),
        (b"1,2\n", "text/csv"),
        (b"\x0a\x23\xd7\xce", "application/x-recordio-protobuf"),
    ],
)
def test_a_body_without_a_type_is_looked_at(header: str, body: bytes, media: str) -> None:
    assert of_request(header, body, ALGORITHM).media == media


def test_an_unknown_content_type_is_415_and_lists_what_is_supported() -> None:
    with pytest.raises(RequestError, match=r"content-type image/png not supported.*text/csv") as caught:
        of_request("image/png", b"1", ALGORITHM)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("accept", "content_type", "json"),
    [
        ("application/json", "text/csv", True),
        ("text/csv", "application/json", False),
        ("*/*", "application/jsonlines", True),
        ("", "application/json; charset=utf-8", True),
        ("", "", False),
        ("text/csv, application/json;q=0.5", "", True),
    ],
)
def test_errors_are_json_for_those_who_speak_it(accept: str, content_type: str, json: bool) -> None:
    assert speaks_json(accept, content_type) is json
