"""Requests of instances, in both forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from optml.algorithms.sequences import instances
from optml.errors import UserError
from optml.formats.content_type import JSON, JSON_LINES, ContentType

EXAMPLE = '{"data": "a text"}'


def read(body: bytes, media: str) -> list[Any]:
    numbered = list(instances.read(body, ContentType(media), EXAMPLE))
    first = 1
    for number, run in numbered:
        assert number == first
        first += len(run)
    return [instance for _, run in numbered for instance in run]


@pytest.mark.parametrize("count", [1, 3, 40_000])
def test_both_forms_hold_the_same_instances(count: int) -> None:
    some = [{"data": f"text {number}"} for number in range(count)]
    lines = "\n".join(map(json.dumps, some))
    assert read(json.dumps({"instances": some}).encode(), JSON) == some
    assert read(("\ufeff" + lines + "\n\n").encode(), JSON_LINES) == some


@pytest.mark.parametrize("body", [b'{"data": 1}', b"[1]", b"{}", b'{"instances": {"a": 1}}'])
def test_a_request_without_instances_is_told_what_to_send(body: bytes) -> None:
    with pytest.raises(UserError, match=r'send \{"instances": '):
        read(body, JSON)


def test_no_lines_are_no_request() -> None:
    with pytest.raises(UserError, match="holds no lines"):
        read(b"\n \n", JSON_LINES)


def test_instances_are_named_by_their_form() -> None:
    assert instances.name(ContentType(JSON), 3) == "instance 3 of the request"
    assert instances.name(ContentType(JSON_LINES), 3) == "line 3 of the request"
