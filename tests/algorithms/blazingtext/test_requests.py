from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from optml.algorithms.answers import Answer
from optml.algorithms.blazingtext import requests
from optml.algorithms.blazingtext.classifier import Classifier
from optml.algorithms.blazingtext.requests import encode
from optml.errors import UserError
from optml.formats.content_type import ContentType

JSON, LINES = "application/json", "application/jsonlines"


def decode(body: bytes, media: str, model: Any) -> Any:
    return requests.decode(body, ContentType(media), model)


CLASSIFIER: Any = Classifier.__new__(Classifier)


def test_words_and_texts_are_read_with_their_k() -> None:
    body = json.dumps({"instances": ["a b", "é"], "configuration": {"k": 3}}).encode()
    texts: Any = decode(body, JSON, CLASSIFIER)
    assert (texts.lines, texts.k) == ([b"a b", "é".encode()], [3, 3])
    assert decode(b'{"instances": ["a", ""]}', JSON, None).words == [b"a", b""]  # type: ignore[union-attr]
    lines: Any = decode(b'{"source": "x", "k": 2}\r\n\n{"source": "y"}', LINES, CLASSIFIER)
    assert (lines.lines, lines.k) == ([b"x", b"y"], [2, 1])


@pytest.mark.parametrize(
    ("body", "media", "message"),
    [
        (b"{", JSON, "The request is not valid JSON"),
        (b"[1]", JSON, 'a list "instances" of strings'),
        (b'{"instances": "a"}', JSON, 'a list "instances" of strings'),
        (b'{"instances": ["a", 1]}', JSON, "Instance 2 is no string: 1"),
        (
            b'{"instances": [], "configuration": {"k": 0}}',
            JSON,
            "k in .* must be a whole number from 1 on, not 0",
        ),
        (b'{"instances": ["a"], "configuration": 3}', JSON, '"configuration" must be an object'),
        (b'{"source": "x"}\nnonsense', LINES, "Line 2 is not valid JSON"),
        (b'{"source": "x"}\n{"k": 1}', LINES, "Line 2 must be an object such as"),
        (b'{"source": "x", "k": true}', LINES, "k in line 1 must be a whole number"),
    ],
)
def test_what_is_no_request_is_refused_in_awss_words(body: bytes, media: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^Unable to decode payload: Incorrect data format\. .*{message}"):
        decode(body, media, CLASSIFIER)


def test_answers_are_a_bare_list_or_lines() -> None:
    words = np.empty(2, object)
    words[:] = ["awesome", 'qu"ote']
    columns = {"vector": np.array([[0.5, -1], [0, 0]], np.float32), "word": words}
    first = b'{"vector": [0.5, -1.0], "word": "awesome"}'
    second = b'{"vector": [0.0, 0.0], "word": "qu\\"ote"}'
    assert bytes(encode(columns, JSON, Answer())) == b"[" + first + b", " + second + b"]"
    assert bytes(encode(columns, LINES, Answer())) == first + b"\n" + second + b"\n"
    assert bytes(encode(columns, LINES, Answer(batch=True))) == first + b"\n" + second
    assert bytes(encode({"vector": np.empty(0), "word": np.empty(0)}, JSON, Answer())) == b"[]"
