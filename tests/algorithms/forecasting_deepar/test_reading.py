"""Channels as series: JSON lines, gzip, Parquet, and what is wrong with them."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.forecasting_deepar.reading import describe, read
from optml.algorithms.forecasting_deepar.series import offender
from optml.errors import UserError
from tests.algorithms.forecasting_deepar.sample import START, Channel, channel, lines, parameters, series

PLAIN = {"start": START, "target": [1, 2.5, "NaN", None, 4]}


def test_json_lines_with_missing_values_become_one_run_of_memory() -> None:
    found = read(channel(PLAIN, {"start": "2016-01-01 05:30:00", "target": [7]}), parameters())
    np.testing.assert_array_equal(found.target, np.array([1, 2.5, np.nan, np.nan, 4, 7], np.float32))
    assert found.bounds.tolist() == [0, 5, 6]
    assert (found.starts[1] - found.starts[0]).item() == 300
    np.testing.assert_array_equal(found.filled, np.array([1, 2.5, 2.5, 2.5, 4, 7], np.float32))


def test_a_missing_value_at_the_front_is_filled_with_zero_not_with_another_series() -> None:
    found = read(channel(PLAIN, {"start": START, "target": [None, 3]}), parameters())
    assert found.filled[5:].tolist() == [0, 3]


def test_words_of_python_and_blank_lines_are_read() -> None:
    first, last = b'{"start": "2016-01-01", "target": [NaN, 1]}', b'{"start": "2016-01-01", "target": [2]}'
    text = b"\xef\xbb\xbf" + first + b"\n\n  \n" + last
    found = read(Channel({"deep/er/a.json": text}), parameters())
    assert (len(found), int(found.observed.sum())) == (2, 2)


def test_several_cats_and_features_and_the_longer_features_too() -> None:
    records = [
        {"start": START, "target": [1, 2], "cat": [0, 3], "dynamic_feat": [[1, 2], [3, 4]]},
        {"start": START, "target": [5], "cat": [1, 0], "dynamic_feat": [[6, 0, 0, 0, 0], [7, 1, 1, 1, 1]]},
    ]
    found = read(channel(*records), parameters())
    assert found.cat.tolist() == [[0, 3], [1, 0]]
    assert found.dynamic.tolist() == [[1, 2, 6], [3, 4, 7]]
    ignoring = read(channel(*records), parameters(cardinality="ignore", num_dynamic_feat=""))
    assert (ignoring.cat.shape, ignoring.dynamic.shape) == ((2, 0), (0, 3))


def test_detection_is_told_in_the_words_of_aws(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "optml"):
        describe(read(channel(PLAIN | {"cat": [1]}), parameters()), "Training")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "[cardinality=auto] `cat` field was found in the file `train/a.json` and will be used for training.",
        "[num_dynamic_feat=auto] `dynamic_feat` field was NOT found in the file `train/a.json` and will NOT "
        "be used for training.",
        "Training set statistics:",
        "Real time series",
        "number of time series: 1",
        "number of observations: 3",
        "mean target length: 5.0",
        "min/mean/max target: 1.0/2.5/4.0",
        "mean abs(target): 2.5",
        "contains missing values: yes (40.0%)",
    ]


def parquet(columns: dict[str, Any], compression: str = "snappy") -> bytes:
    import pyarrow as pa
    from pyarrow import parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression=compression)
    return out.getvalue()


@pytest.mark.parametrize("compression", ["gzip", "snappy"])
def test_parquet_gives_what_json_lines_give(compression: str) -> None:
    columns = {
        "start": np.array(["2016-01-01T00", "2016-01-02T00"], "M8[s]"),
        "target": [[1.0, None, 3.0], [4.0]],
        "cat": [[0, 1], [1, 0]],
        "dynamic_feat": [[[1.0, 2.0, 3.0]], [[4.0]]],
    }
    found = read(Channel({"part/a.parquet": parquet(columns, compression)}), parameters())
    records = [
        {"start": "2016-01-01", "target": [1, None, 3], "cat": [0, 1], "dynamic_feat": [[1, 2, 3]]},
        {"start": "2016-01-02", "target": [4], "cat": [1, 0], "dynamic_feat": [[4]]},
    ]
    expected = read(channel(*records), parameters())
    for name in ("starts", "bounds", "target", "cat", "dynamic"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_other_files_are_passed_over_and_both_formats_go_together() -> None:
    files = {
        "README.md": b"# About",
        "a.json": lines([PLAIN]),
        "b.parquet": parquet({"start": ["2016-01-01"], "target": [[1, 2]]}),
    }
    assert len(read(Channel(files), parameters())) == 2
    with pytest.raises(UserError, match="has no file that ends in"):
        read(Channel({"README.md": b"# About"}), parameters())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_end_and_are_encoded_as_in_every_other_format(end: str, encoding: str) -> None:
    text = end.join(json.dumps(PLAIN | {"target": [number]}) for number in range(3)) + "," + end
    series = read(Channel({"a.json": text.encode(encoding)}), parameters())
    np.testing.assert_array_equal(series.target, [0, 1, 2])


def test_a_series_longer_than_what_is_parsed_at_once_is_read_whole() -> None:
    values = np.random.default_rng(0).integers(100_000, 1_000_000, 100_000)
    series = read(channel(PLAIN, PLAIN | {"target": values.tolist()}, PLAIN), parameters())
    assert len(series) == 3
    np.testing.assert_array_equal(series.target[series.bounds[1] : series.bounds[2]], values)


BAD = [
    (b"{", "line 1 of train/a.json is not valid JSON"),
    (b"[1]", 'expected an object with "start" and "target"'),
    (json.dumps([PLAIN, PLAIN]).encode(), "one object a line is expected"),
    (json.dumps([PLAIN, PLAIN], indent=1).encode(), "line 1 of train/a.json is .*; one object a line is"),
    (json.dumps(PLAIN, indent=1).encode(), "line 1 of train/a.json is .*; one object a line is"),
    (lines([PLAIN, {"target": [1]}]), 'line 2 of train/a.json: "start" is missing'),
    (lines([{"start": START + "Z", "target": [1]}]), "time zone"),
    (lines([{"start": 5, "target": [1]}]), '"start" is 5'),
    (lines([{"start": START}]), '"target" must be a list of numbers, not null'),
    (lines([{"start": START, "target": []}]), '"target" is empty'),
    (lines([{"start": START, "target": [1, "x"]}]), r'"target"\[1\] is "x"'),
    (lines([{"start": START, "target": [1, True]}]), r'"target"\[1\] is true'),
    (lines([{"start": START, "target": [1, 1e39]}]), r'"target"\[1\] is 1e\+39, which is too large'),
    (lines([PLAIN | {"cat": [1]}, PLAIN]), 'line 2 of train/a.json: "cat" is missing: expected a list of 1'),
    (lines([PLAIN | {"cat": [1]}, PLAIN | {"cat": [1, 2]}]), '"cat" must be a list of 1 whole numbers'),
    (lines([PLAIN | {"cat": [-1]}]), r'"cat"\[0\] is -1'),
    (lines([PLAIN | {"cat": [1.5]}]), r'"cat"\[0\] is 1.5'),
    (lines([PLAIN, PLAIN | {"cat": [1]}]), 'line 1 of train/a.json: "cat" is missing, but line 2 of train'),
    (
        lines([*[PLAIN] * 5, PLAIN | {"dynamic_feat": [[1] * 5]}]),
        'line 1 of train/a.json: "dynamic_feat" is missing, but line 6 of train/a.json has it',
    ),
    (lines([PLAIN | {"cat": [0]}, PLAIN | {"cats": [1]}]), 'line 2 .*: "cats" is unknown; did you mean'),
    (lines([PLAIN | {"dynamic_feats": [[1] * 5]}]), '"dynamic_feats" is unknown; did you mean "dynam'),
    (lines([{"Start": START, "target": [1]}]), '"Start" is unknown; did you mean "start"'),
    (lines([PLAIN | {"cat": [True]}]), r'"cat"\[0\] is true'),
    (lines([PLAIN | {"dynamic_feat": [[1, 2]]}]), r"expected len\(target\) = 5 values .*, got 2"),
    (lines([PLAIN | {"dynamic_feat": [[1, 2, 3, None, 5]]}]), r'"dynamic_feat"\[0\]\[3\] is missing'),
    (lines([PLAIN | {"dynamic_feat": [[1] * 5]}, PLAIN]), '"dynamic_feat" is missing: expected 1 lists'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_what_is_wrong_is_named_with_its_line(text: bytes, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read(Channel({"a.json": text}), parameters())


def test_whole_numbers_may_be_written_with_a_point_and_other_fields_are_let_pass() -> None:
    records = [
        PLAIN | {"cat": [0.0, 2], "item_id": "a", "start_time": 5},
        PLAIN | {"cat": [1, 3.0], "dog": 1},
    ]
    assert read(channel(*records), parameters()).cat.tolist() == [[0, 2], [1, 3]]
    assert read(channel(PLAIN | {"cat": 4.0}), parameters()).cat.tolist() == [[4]]
    columns = {"start": ["2016-01-01"], "target": [[1.0]], "cat": [[0.0, 5.0]]}
    assert read(Channel({"a.parquet": parquet(columns)}), parameters()).cat.tolist() == [[0, 5]]


def test_fields_that_are_to_be_ignored_may_stand_in_some_records_only() -> None:
    records = [PLAIN, PLAIN | {"cat": [1], "dynamic_feat": [[1] * 5]}, PLAIN | {"cats": "of no use"}]
    found = read(channel(*records), parameters(cardinality="ignore", num_dynamic_feat=""))
    assert (found.cat.shape, found.dynamic.shape) == ((3, 0), (0, 15))


def test_a_category_beyond_its_cardinality_names_line_place_value_and_size() -> None:
    wrong = r'line 2 of train/a.json: "cat"\[1\] is 2, but its cardinality is 2: values are 0 to 1'
    with pytest.raises(UserError, match=wrong):
        read(channel(PLAIN | {"cat": [0, 1]}, PLAIN | {"cat": [0, 2]}), parameters(cardinality=(1, 2)))
    with pytest.raises(UserError, match='"dynamic_feat" must be 2 lists of numbers, not 1'):
        read(channel(PLAIN | {"dynamic_feat": [[1] * 5]}), parameters(num_dynamic_feat=2))


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a.parquet": b"PAR1 and no more"}, "cannot be read as Parquet"),
        ({"a.parquet": parquet({"start": ["2016-01-01"]})}, "has no column 'target'; it has start"),
        (
            {"a.parquet": parquet({"start": ["2016-01-01"], "target": [[1.0]], "cats": [[1]]})},
            'the column "cats" is unknown; did you mean "cat"',
        ),
        ({"a.parquet": parquet({"start": ["x"], "target": [[1.0]]})}, "row 1 of train/a.parquet"),
        ({"a.parquet": parquet({"start": ["2016-01-01"], "target": [1.0]})}, '"target" must be a list'),
    ],
)
def test_parquet_that_is_wrong_is_named(files: dict[str, bytes], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read(Channel(files), parameters())


def test_values_that_a_likelihood_cannot_have_are_named() -> None:
    found = series([{"start": START, "target": [1, None]}, {"start": START, "target": [2, 0.5, -1]}])
    assert offender(found, "student-T") is None
    assert "value 1 of series 1 is 0.5" in str(offender(found, "negative-binomial"))
    assert "value 0 of series 1 is 2" in str(offender(found, "beta"))


def test_gzip_is_the_channels_business_and_lines_may_cross_pieces() -> None:
    long = {"start": START, "target": list(range(300_000))}
    text = gzip.decompress(gzip.compress(lines([long, PLAIN, long])))
    assert read(Channel({"a.json": text}), parameters()).lengths.tolist() == [300_000, 5, 300_000]


numbers = st.one_of(st.none(), st.just("NaN"), st.floats(-1e6, 1e6), st.integers(-(10**9), 10**9))


@settings(deadline=None)
@given(st.lists(st.lists(numbers, min_size=1, max_size=8), min_size=1, max_size=6))
def test_what_was_written_is_read(targets: list[list[Any]]) -> None:
    found = read(channel(*({"start": START, "target": target} for target in targets)), parameters())
    flat = [float("nan") if value in (None, "NaN") else value for target in targets for value in target]
    np.testing.assert_array_equal(found.target, np.array(flat, np.float64).astype(np.float32))


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("start", "target", "cat", "dynamic_feat"), json_values)
        ).map(lambda record: json.dumps(record).encode()),
    )
)
def test_anything_is_read_or_refused_with_a_reason(text: bytes) -> None:
    with contextlib.suppress(UserError):
        read(Channel({"a.json": text}), parameters())
