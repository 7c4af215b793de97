import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from optml.errors import UserError
from optml.formats import libsvm
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from optml.formats.records import Records, concatenate


def read(
    body: bytes, width: int | None = None, block_bytes: int = 1 << 20, content_type: str = "libsvm"
) -> Records:
    form = ContentType.parse(content_type)
    stream = io.BytesIO(body)
    return concatenate(libsvm.read(stream, form, Layout(width), source="a.svm", block_bytes=block_bytes))


@pytest.mark.parametrize("block_bytes", [4, 1 << 20])
@pytest.mark.parametrize("width", [None, 4])
def test_labels_weights_comments_and_query_ids_are_told_apart(block_bytes: int, width: int | None) -> None:
    body = b"# made by hand\n1:0.5 qid:3 0:1.5 3:-2 # first\n\n-1 2:7 0:1\r\n0\n"
    found = read(body, width, block_bytes)
    assert found.dense().tolist() == [[1.5, 0, 0, -2], [1, 0, 7, 0], [0, 0, 0, 0]]
    assert found.labels is not None
    assert found.labels.tolist() == [[1], [-1], [0]]
    if block_bytes > 4 or width is None:
        assert found.weights is not None
        assert found.weights.tolist() == [0.5, 1, 1]
    assert [found.where(row) for row in range(3)] == [f"line {n} of a.svm" for n in (2, 4, 5)]


def test_indices_count_from_one_where_the_content_type_says_so() -> None:
    assert read(b"1 1:5 3:6", 3, content_type="text/x-libsvm; index_base=1").dense().tolist() == [[5, 0, 6]]
    with pytest.raises(UserError, match=r"line 1 of a\.svm has key -1"):
        read(b"1 0:5", 3, content_type="text/libsvm;index_base=1")
    with pytest.raises(UserError, match="index_base is 2; expected 0 or 1"):
        read(b"1 0:5", 3, content_type="text/libsvm;index_base=2")


def test_label_of_a_request_may_be_missing() -> None:
    found = libsvm.decode(b"0:1 1:2\n1:3\n", ContentType.parse("libsvm"), Layout(2))
    assert found.labels is None
    assert found.dense().tolist() == [[1, 2], [0, 3]]
    found = libsvm.decode(b"9 0:1 1:2\n", ContentType.parse("libsvm"), Layout(2))
    assert found.labels is not None
    assert found.labels.tolist() == [[9]]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"1 0:1\n1 4:1\n", "line 2 of a.svm has key 4"),
        (b"1 0:1\n1 0:x\n", "line 2 of a.svm holds '0:x'; expected index:value"),
        (b"1 0.5:1\n", "line 1 of a.svm holds '0.5:1'"),
        (b"1 0:1:2\n", "line 1 of a.svm holds '0:1:2'"),
        (b"1 0 1:2:3\n", "line 1 of a.svm holds '0'"),
        (b"yes 0:1\n", r"begins with 'yes'; expected a number as its label, as in '1 3:0.5'$"),
        (b"1,2\n", "as in '1 3:0.5'; if it is CSV, set the content type to text/csv$"),
        (b"1 99999999999999999999:1\n", "line 1 of a.svm holds '99999999999999999999:1'"),
    ],
)
def test_wrong_line_is_named(body: bytes, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read(body, 4)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=9),
    st.integers(1, 60),
)
def test_what_was_written_is_read(rows: list[list[float]], block_bytes: int) -> None:
    features = np.array(rows, np.float32)
    labels = np.arange(len(rows))[:, None] / 3
    found = read(libsvm.write(Records(csr_array(features), labels)), 3, block_bytes)
    np.testing.assert_array_equal(found.dense(), features)
    np.testing.assert_array_equal(found.labels, labels)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("0123456789:.e- \nqid#", max_size=60).map(str.encode)))
def test_any_bytes_give_records_or_a_user_error(body: bytes) -> None:
    for decode in (
        lambda body: read(body + b"\n0 0:1"),
        lambda body: libsvm.decode(body, ContentType.parse("libsvm"), Layout()),
    ):
        try:
            decode(body)
        except UserError:
            continue


def test_rows_keep_their_queries_and_a_value_may_be_missing() -> None:
    block = read(b"1 qid:7 0:1 2:\n0 1:5\n")
    assert block.groups is not None
    assert block.groups.tolist() == [7, -1]
    assert np.isnan(block.features.toarray()[0, 2])
    assert concatenate([block, block]).groups.tolist() == [7, -1, 7, -1]  # type: ignore[union-attr]
    assert block[1:].groups.tolist() == [-1]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="expected a whole number, as in qid:1"):
        read(b"1 qid:x 0:1\n")
