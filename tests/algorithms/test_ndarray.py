from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from optml.algorithms.ndarray import DTYPES, RowSparse, decode, encode
from optml.errors import UserError

HEAD = struct.pack("<QQ", 0x112, 0)
# What MXNet itself wrote for {'centroids': a 2 x 3 matrix}.
BY_MXNET = bytes.fromhex(
    "12010000000000000000000000000000010000000000000"
    "0c9fa93f90000000002000000020000000000000003000000000000000100000000000000"
    "00000000"
) + np.arange(6, dtype="<f4").tobytes() + struct.pack("<QQ", 1, 9) + b"centroids"  # fmt: skip

dense = st.sampled_from(DTYPES).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(max_dims=4, min_side=0, max_side=5))
)


def test_a_file_of_mxnet_reads_and_writes_the_same_bytes() -> None:
    (matrix,), names = decode(BY_MXNET, "file")
    assert names == ["centroids"]
    assert isinstance(matrix, np.ndarray)
    assert matrix.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert encode([matrix], names) == BY_MXNET


@given(st.lists(dense, max_size=3), st.booleans())
def test_arrays_and_names_come_back(written: list[np.ndarray], named: bool) -> None:
    names = [f"arg:weight_{i}é" for i in range(len(written))] if named else []
    read, found = decode(encode(written, names), "file")
    assert found == names
    for ours, theirs in zip(read, written, strict=True):
        assert isinstance(ours, np.ndarray)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_row_sparse_arrays_come_back_and_become_dense() -> None:
    written = RowSparse(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([0, 3]), (5, 2))
    (read,), _ = decode(encode([written]), "file")
    assert isinstance(read, RowSparse)
    assert read.dense().tolist() == [[1, 2], [0, 0], [0, 0], [3, 4], [0, 0]]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(struct.pack("<IIqqiii", 0xF993FAC8, 2, 1, 2, 1, 0, 1), id="v1"),
        pytest.param(struct.pack("<IIIiii", 2, 1, 2, 1, 0, 1), id="before magic numbers"),
    ],
)
def test_older_arrays_are_read(head: bytes) -> None:
    data = HEAD + struct.pack("<Q", 1) + head + struct.pack("<dd", 1.5, 2.5) + struct.pack("<Q", 0)
    (matrix,), names = decode(data, "file")
    assert isinstance(matrix, np.ndarray)
    assert matrix.tolist() == [[1.5, 2.5]]
    assert names == []


@given(st.data())
def test_a_truncated_file_says_where(data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(BY_MXNET) - 1))
    with pytest.raises(UserError, match=r"model_algo-1 is damaged or of another kind: at byte \d+"):
        decode(BY_MXNET[:cut], "model_algo-1")


@given(st.lists(st.tuples(st.integers(0, len(BY_MXNET) - 1), st.integers(0, 255)), max_size=6))
def test_a_corrupt_file_is_read_or_refused_and_nothing_else(changes: list[tuple[int, int]]) -> None:
    data = bytearray(BY_MXNET)
    for at, value in changes:
        data[at] = value
    with contextlib.suppress(UserError):
        decode(bytes(data), "file")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_sentence(data: bytes) -> None:
    for start in (b"\0", HEAD + b"\xff" * 8):
        with pytest.raises(UserError, match=r"^file is damaged or of another kind: at byte \d+"):
            decode(start + data, "file")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"PK\x03\x04" + bytes(20), "the file begins with 0x4034b50, not with 0x112"),
        (HEAD + struct.pack("<Q", 1 << 60), "1152921504606846976 arrays are announced"),
        (HEAD + struct.pack("<QIiIq", 1, 0xF993FAC9, 7, 0, 0), "the storage type is 7"),
        (HEAD + struct.pack("<QI", 1, 40) + bytes(200), "an array of 40 dimensions"),
        (HEAD + struct.pack("<QIiIqiii", 1, 0xF993FAC9, 0, 1, -3, 1, 0, 0), "the shape (-3,) has a negative"),
        (HEAD + struct.pack("<QIiIqiii", 1, 0xF993FAC9, 0, 1, 2, 1, 0, 99), "dtype number 99"),
        (HEAD + struct.pack("<QIiIqqiii", 1, 0xF993FAC9, 0, 2, 1 << 40, 1 << 40, 1, 0, 0), "bytes, but only"),
        (HEAD + struct.pack("<QQ", 0, 0) + b"!", "1 bytes too many"),
        (HEAD + struct.pack("<QQQ", 0, 1, 0), "0 arrays, but 1 names"),
        (HEAD + struct.pack("<QQQ", 0, 1, 2) + b"\xff\xfe", "0 arrays, but 1 names|UTF-8"),
    ],
)  # fmt: skip
def test_hostile_files_are_named(data: bytes, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        decode(data, "file")
    assert any(part in str(caught.value) for part in sentence.split("|"))


def test_row_numbers_outside_the_array_are_refused() -> None:
    wrong = encode([RowSparse(np.ones((1, 2), np.float32), np.array([5]), (5, 2))])
    with pytest.raises(UserError, match="a row number lies outside the 5 rows"):
        decode(wrong, "file")


def test_what_mxnet_lacks_is_not_written() -> None:
    with pytest.raises(ValueError, match="complex128"):
        encode([np.zeros(1, complex)])
    with pytest.raises(ValueError, match="no dimensions"):
        encode([np.array(1.0)])
    with pytest.raises(ValueError, match="2 names"):
        encode([np.zeros(1)], ["a", "b"])
