import io
import json as stdlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats import json
from optml.formats.layout import Layout
from optml.formats.records import Records


def decode(value: object, width: int | None = None) -> Records:
    body = value if isinstance(value, bytes) else stdlib.dumps(value).encode()
    return json.decode(body, Layout(width))


@pytest.mark.parametrize(
    "value",
    [
        {"instances": [{"features": [1.5, 2]}, {"features": [3, 4]}]},
        {"instances": [{"data": {"features": {"values": [1.5, 2]}}}, {"data": {"features": [3, 4]}}]},
        {"instances": [{"features": {"values": [1.5, 2]}}, {"data": {"features": {"values": [3, 4]}}}]},
        {"instances": [[1.5, 2], {"features": [3, 4]}], "configuration": {"k": 2}},
        {"instances": [{"features": ["1.5", "2"], "other": {}, "configuration": {}}, {"features": [3, 4]}]},
        [[1.5, 2], [3, 4]],
        {"projections": [{"projection": [1.5, 2]}, {"projection": [3, 4]}]},
        {"predictions": [{"score": 3, "topic_weights": [1.5, 2]}, {"topic_weights": [3, 4], "label": 1}]},
        b'{"instances": [{"features": [1.5, 2]}, {"features": [3, 4]},]}',
        b'{"instances": [{"features": [1.5, 2]}, {"features": [3, 4]}]},',
        b'{"instances": [{"features": [1.5, 2,]}, {"features": [3, 4], "note": ",]"}]}',
    ],
)
def test_every_form_of_request_gives_the_same_records(value: object) -> None:
    assert decode(value, 2).dense().tolist() == [[1.5, 2], [3, 4]]


@pytest.mark.parametrize(
    "value", [[1.5, 2], {"features": [1.5, 2]}, {"data": {"features": {"values": [1.5, 2]}}}]
)
def test_single_record_needs_no_instances(value: object) -> None:
    assert decode(value).dense().tolist() == [[1.5, 2]]


def test_sparse_records_may_lie_among_dense_ones() -> None:
    sparse = {"data": {"features": {"keys": [2, 0, 2], "shape": [3], "values": [1, 4, 1]}}}
    empty = {"features": {"keys": [], "shape": [3], "values": []}}
    found = decode({"instances": [sparse, {"features": [1, 2, 3]}, empty]})
    assert isinstance(found.features, csr_array)
    assert found.dense().tolist() == [[4, 0, 2], [1, 2, 3], [0, 0, 0]]
    no_shape = {"instances": [{"features": {"keys": [1], "values": [5]}}]}
    assert decode(no_shape, 3).dense().tolist() == [[0, 5, 0]]
    with pytest.raises(UserError, match="record 1 of the request is sparse and has no shape"):
        decode(no_shape)


def test_nan_infinity_and_null_are_read_for_the_check_of_finite_values() -> None:
    found = decode(b'{"instances": [{"features": [NaN, Infinity, -Infinity, null]}]}')
    np.testing.assert_array_equal(found.features, [[np.nan, np.inf, -np.inf, np.nan]])


def test_no_instances_are_no_records() -> None:
    assert len(decode({"instances": []}, 3)) == 0
    assert decode({"instances": []}, 3).width == 3


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            {"instances": [{"features": [1, 2, 3]}, {"features": [1, 2]}]},
            "3 but record 2 of the request has 2 values",
        ),
        ({"instances": [{"features": [1, "x", 3]}]}, 'record 1 of the request holds "x" as value 2'),
        ({"instances": [{"features": [1, [2], 3]}]}, r"record 1 of the request holds \[2\] as value 2"),
        ({"instances": [{"feature": 1}]}, 'record 1 of the request has no "features"'),
        ({"instances": [{"features": None}]}, "features are null"),
        ({"instances": [{"features": {"value": [1]}}]}, "features are an object"),
        ({"instances": [5]}, "features are 5"),
        ({"instances": {"features": [1]}}, 'the request: "instances" must be a list'),
        ({"rows": []}, 'the request has no "instances"'),
        ("text", 'the request is "text"'),
        (b"{", "the request is not valid JSON"),
        (b'{"instances": [{"features": [1,,2]}]}', "not valid JSON"),
        (b'{"instances": [{"features": [1,,]}]}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        ({"instances": [{"features": {"keys": [3], "values": [1], "shape": [3]}}]}, "record 1 .* has key 3"),
        (
            {"instances": [{"features": {"keys": [-1], "values": [1], "shape": [3]}}]},
            "record 1 .* has key -1",
        ),
        ({"instances": [{"features": {"keys": [0.5], "values": [1], "shape": [3]}}]}, "whole numbers"),
        ({"instances": [{"features": {"keys": [0], "values": [1], "shape": [2**41]}}]}, "beyond"),
        ({"instances": [{"features": {"keys": [0, 1], "values": [1], "shape": [3]}}]}, "2 keys but 1 values"),
    ],
)
def test_wrong_request_is_explained(value: Any, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        decode(value, 3)


def test_lines_are_numbered_in_errors_and_blank_ones_skipped() -> None:
    body = b'{"features": [1, 2]}\n\n{"data": {"features": {"values": [3, 4]}}}\r\n[5, 6]'
    found = json.decode_lines(body, Layout(2))
    assert found.features.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert [found.where(row) for row in range(3)] == [f"line {n} of the request" for n in (1, 3, 4)]
    with pytest.raises(UserError, match="line 3 of the request is not valid JSON"):
        json.decode_lines(b'{"features": [1]}\n\n{"features": [1]\n', Layout(1))
    with pytest.raises(UserError, match="feature_dim is 1 but line 3 of the request has 2 values"):
        json.decode_lines(b'{"features": [1]}\n\n{"features": [1, 2]}\n', Layout(1))
    with pytest.raises(UserError, match="holds no records"):
        json.decode_lines(b"\n", Layout(1))


def test_lines_are_read_block_by_block() -> None:
    body = b"".join(b'{"features": [%d, 2]}\n' % n for n in range(50))
    blocks = list(json.read_lines(io.BytesIO(body), Layout(), source="a.jsonl", block_bytes=100))
    assert len(blocks) > 5
    assert blocks[-1].where(len(blocks[-1]) - 1) == "line 50 of a.jsonl"
    assert sum(map(len, blocks)) == 50


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["instances", "features", "data", "values", "keys", "shape", "projections"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_any_value_gives_records_or_a_user_error(value: object) -> None:
    for wrapped in (
        value,
        {"instances": value},
        {"instances": [value]},
        {"instances": [{"features": value}]},
    ):
        try:
            assert isinstance(decode(wrapped), Records)
        except UserError:
            continue


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
        min_size=1,
    )
)
def test_what_was_written_is_read(rows: list[list[float]]) -> None:
    features = np.array(rows, np.float32)
    for records in (Records(features), Records(csr_array(features))):
        np.testing.assert_array_equal(json.decode(json.write(records), Layout(3)).dense(), features)
        np.testing.assert_array_equal(
            json.decode_lines(json.write_lines(records), Layout(3)).dense(), features
        )


@pytest.mark.parametrize(
    "tensor",
    [
        {"keys": [0, 2], "shape": [3], "values": [1, 2]},
        {"keys": [2, 0], "shape": [3], "values": [2, 1]},
        {"keys": [0, 2, 0], "shape": [3], "values": [0.5, 2, 0.5]},
    ],
)
@pytest.mark.parametrize("odd", [{"features": [1, 0, 2]}, None])
def test_sparse_records_are_the_same_read_together_and_one_by_one(tensor: object, odd: object) -> None:
    """A dense one among them makes that they are read one by one."""
    records = [{"features": tensor}, {"data": {"features": tensor}}, *([odd] if odd else [])]
    for width in (3, None):
        assert decode({"instances": records}, width).dense().tolist() == [[1, 0, 2]] * len(records)


@pytest.mark.parametrize(
    "tensor",
    [
        {"keys": "01", "shape": [3], "values": "12"},
        {"keys": [[0]], "shape": [3], "values": [1]},
        {"keys": [0], "shape": [3], "values": [[1]]},
        {"keys": [0], "shape": [True], "values": [1]},
        {"keys": [0, 1], "shape": [3], "values": [1]},
        {"keys": [0.5], "shape": [3], "values": [1]},
        {"keys": [3], "shape": [3], "values": [1]},
    ],
)
def test_a_tensor_that_is_none_is_refused_though_all_are_alike(tensor: object) -> None:
    with pytest.raises(UserError, match="record 1"):
        decode({"instances": [{"features": tensor}] * 3}, 3)
