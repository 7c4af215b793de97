"""Values of somebody's JSON in messages."""

from __future__ import annotations

import numpy as np
import pytest

from optml.errors import UserError, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it", '"it"'),
        ([1, None], "[1, null]"),
        (2**70, str(2**70)),
        (np.float32(0.5), "0.5"),
        ("a" * 90, '"' + "a" * 56 + "..."),
    ],
)
def test_a_value_is_shown_as_json_of_at_most_60_characters(value: object, text: str) -> None:
    assert shown(value) == text


def test_lists_too_deep_for_a_writer_are_no_reason_to_fail() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "lists too deep to be shown"


def test_every_reader_of_requests_answers_lists_that_are_too_deep() -> None:
    from optml.algorithms.blazingtext.requests import decode as texts
    from optml.algorithms.ip_insights.requests import decode as pairs
    from optml.formats.content_type import ContentType
    from optml.formats.json import decode as vectors
    from optml.formats.layout import Layout

    deep = b"[" * 1020 + b"]" * 1020  # that many the parsers still read
    with pytest.raises(UserError, match="value 2; expected a number"):
        vectors(b'{"instances": [{"features": [1, %s]}]}' % deep, Layout(2, 0))
    with pytest.raises(UserError, match="Instance 1 is no string"):
        texts(b'{"instances": [%s]}' % deep, ContentType("application/json"), None)
    with pytest.raises(UserError, match=r"record 1 is .* an IPv4 address"):
        pairs(b'{"instances": [%s]}' % deep, ContentType("application/json"), None)
