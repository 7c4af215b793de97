"""JSON lines of pairs: all that is right is read, all that is wrong is named."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.object2vec import records
from optml.errors import UserError
from tests.algorithms.object2vec.training import Channel, channel, hyperparameters

PAIR = {"label": 1, "in0": [1, 2, 29], "in1": [0, 3]}
TOKENS = st.lists(st.integers(0, 29), min_size=1, max_size=6)


def test_pairs_are_read_in_their_order_from_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 64)
    lines = [json.dumps(PAIR | {"in0": [number], "more": "ignored"}) for number in range(1, 25)]
    files = {
        "a": ("\ufeff" + "\r\n".join(lines[:9])).encode(),
        "b": ("\n\n" + "\n \n".join(lines[9:]) + "\n").encode(),
    }
    pairs = records.read(Channel(files), hyperparameters())
    assert pairs.sides[0].ids.tolist() == list(range(1, 25))
    assert pairs.sides[1].lengths.tolist() == [2] * 24
    assert pairs.labels.tolist() == [1] * 24


@given(st.lists(st.tuples(TOKENS, TOKENS, st.integers(0, 1)), max_size=8))
def test_what_is_written_is_read(rows: list[tuple[list[int], list[int], int]]) -> None:
    source = channel(*({"in0": first, "in1": second, "label": label} for first, second, label in rows))
    pairs = records.read(source, hyperparameters())
    for side in range(2):
        parts = np.split(pairs.sides[side].ids, pairs.sides[side].bounds[1:-1]) if rows else []
        assert [part.tolist() for part in parts] == [row[side] for row in rows]
    assert pairs.labels.tolist() == [label for *_, label in rows]


def test_a_label_of_regression_is_any_number_and_1_0_is_class_1() -> None:
    source = channel(PAIR | {"label": -2.5}, PAIR)
    assert records.read(source, hyperparameters(output_layer="mean_squared_error")).labels.tolist() == [
        -2.5,
        1,
    ]
    assert records.read(channel(PAIR | {"label": 1.0}), hyperparameters()).labels.tolist() == [1]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"in0": [1, 30]}, 'Inconsistent vocab for in0 found. Vocab id "30" is not less than vocab_size=30'),
        ({"in1": [-1]}, '"in1" holds the negative id -1'),
        ({"in1": [1.5]}, '"in1" holds 1.5; expected whole numbers'),
        ({"in1": [True]}, '"in1" holds true; expected whole numbers'),
        ({"in1": [[1]]}, '"in1" holds [1]; expected whole numbers'),
        ({"in1": [2**40]}, "is not less than vocab_size=30"),
        ({"in0": []}, '"in0" is an empty list'),
        ({"in0": 5}, '"in0" is 5; expected a list of token ids'),
        ({"in0": "5"}, "expected a list of token ids"),
        ({"label": 2}, '"label" is 2; expected the number of a class, 0 to 1'),
        ({"label": 0.5}, '"label" is 0.5; expected the number of a class'),
        ({"label": True}, '"label" is true; expected the number of a class'),
        ({"label": None}, '"label" is null'),
    ],
)
def test_the_line_that_is_wrong_is_named(record: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        records.read(channel(PAIR, PAIR | record, PAIR), hyperparameters())
    assert str(caught.value).startswith("line 2 of train/a.json: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["in0", "in1", "label"])
def test_what_is_missing_is_named(key: str) -> None:
    record = {name: value for name, value in PAIR.items() if name != key}
    with pytest.raises(UserError, match=f'line 2 of train/a.json: there is no "{key}"'):
        records.read(channel(PAIR, record), hyperparameters())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1, 2]\n", "line 1 of train/a: expected an object"),
        (b'{"in0": [1]\n', "line 1 of train/a"),
        (b"\xff\xfe\n", "line 1 of train/a"),
        (b"1,2,3\n", "line 1 of train/a"),
    ],
)
def test_other_formats_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        records.read(Channel({"a": body}), hyperparameters())


@given(st.binary(max_size=40))
def test_no_bytes_give_a_traceback(body: bytes) -> None:
    with suppress(UserError):
        records.read(Channel({"a": body}), hyperparameters())


@pytest.mark.parametrize("output", ["softmax", "mean_squared_error"])
@pytest.mark.parametrize("label", [b"1e39", b"-1e300", b"1" + b"0" * 400])
def test_labels_that_float32_cannot_hold_are_refused(label: bytes, output: str) -> None:
    body = b'{"label": %b, "in0": [1], "in1": [2]}\n' % label
    with pytest.raises(UserError, match="line 1 of train/a"):
        records.read(Channel({"a": body}), hyperparameters(output_layer=output))
