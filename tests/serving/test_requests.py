import io

import pytest

from optml.serving.errors import RequestError
from optml.serving.requests import read_body


def test_a_body_without_a_length_is_read_to_its_end() -> None:
    environ = {"wsgi.input": io.BytesIO(b"abc"), "wsgi.input_terminated": True}
    assert read_body(environ, 3) == b"abc"


def test_a_body_without_a_length_has_a_limit_too() -> None:
    environ = {"wsgi.input": io.BytesIO(b"abcd"), "wsgi.input_terminated": True}
    with pytest.raises(RequestError, match="larger than 3 bytes"):
        read_body(environ, 3)


def test_neither_length_nor_chunks_is_no_body() -> None:
    assert read_body({"wsgi.input": io.BytesIO(b"abc")}, 10) == b""


def test_a_body_that_breaks_off_is_refused() -> None:
    with pytest.raises(RequestError, match="ended after 3 of 5 bytes"):
        read_body({"wsgi.input": io.BytesIO(b"abc"), "CONTENT_LENGTH": "5"}, 10)
