from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.xgboost import ubjson
from tests.algorithms.xgboost.test_native import KINDS


def lists(value: Any) -> Any:
    """The same value in lists."""
    if isinstance(value, dict):
        return {name: lists(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [lists(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_library_writes_is_read_as_its_json_is(kind: str) -> None:
    model = KINDS[kind]()
    ours = json.dumps(lists(ubjson.read(bytes(model.save_raw("ubj")))), sort_keys=True)
    theirs = json.dumps(json.loads(bytes(model.save_raw("json"))), sort_keys=True)
    one, other = (np.array(text.replace(",", " ").split()) for text in (ours, theirs))
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        try:
            assert float(left.strip("[]{}")) == pytest.approx(float(right.strip("[]{}")), rel=1e-6)
        except ValueError:
            assert left == right


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"{}", {}),
        (b"[]", []),
        (b"[TFZ]", [True, False, None]),
        (b"[#i\x02SU\x01aSi\x00", ["a", ""]),
        (b"{i\x01ai\x05}", {"a": 5}),
        (b"l\xff\xff\xff\xff", -1),
        (b"d\x3f\x80\x00\x00", 1.0),
    ],
)
def test_values(content: bytes, value: object) -> None:
    assert ubjson.read(content) == value


def test_numbers_of_one_type_are_an_array() -> None:
    array = ubjson.read(b"[$I#i\x02\x00\x01\xff\xff")
    np.testing.assert_array_equal(array, [1, -1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends early"),
        (b"{i\x01a", "ends early"),
        (b"[$l#i\x03", "ends early"),
        (b"S" + b"i\xff", "a length of -1"),
        (b"SL\x7f" + bytes(7), "a length of"),
        (b"{i\x01aTi\x01aT}", "comes twice"),
        (b"[" * 100, "more than 64 values within each other"),
        (b"[$x#i\x01", "unknown type"),
        (b"x", "where a value belongs"),
        (b"{x", "where a length belongs"),
    ],
)
def test_damage_is_told(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ubjson.read(content)


def test_a_member_is_cut_out() -> None:
    content = b"{i\x01a[TF]i\x01bSi\x02hi}"
    assert ubjson.member(content, "a") == b"[TF]"
    assert ubjson.member(content, "b") == b"Si\x02hi"
    with pytest.raises(ValueError, match="has no 'c'"):
        ubjson.member(content, "c")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        ubjson.read(b"{" + content)
    except ValueError:
        return
