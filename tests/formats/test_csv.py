import io
import logging

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats import cells, csv, csv_reader, layout
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from optml.formats.records import Records, concatenate
from tests.shared import SHARED, needs_shared


@pytest.fixture(autouse=True)
def _warn_afresh() -> None:
    layout._warn_of_label.cache_clear()


def decode(
    text: str | bytes, content_type: str = "text/csv", width: int | None = None, labels: int | None = 0
) -> Records:
    body = text if isinstance(text, bytes) else text.encode()
    return csv.decode(body, ContentType.parse(content_type), Layout(width, labels))


def read(
    body: bytes, content_type: str = "text/csv", width: int | None = None, block_bytes: int = 1 << 20
) -> list[Records]:
    stream = io.BytesIO(body)
    form = ContentType.parse(content_type)
    return list(csv.read(stream, form, Layout(width), source="train/a.csv", block_bytes=block_bytes))


@pytest.mark.parametrize(
    "text",
    [
        "1,2.5\n-3e2,.5\n",
        "1,2.5\r\n-3e2,.5",
        "1,2.5\r-3e2,.5\r",
        "\ufeff1,2.5\n-3e2,.5",
        "\n1,2.5\n  \n\n-3e2,.5\n\n",
        '"1","2.5"\n-3e2,".5"\n',
        " 1 , 2.5 \n -3e2 , .5 \n",
        "1\t2.5\n-3e2\t.5\n",
        "1;2.5\n-3e2;.5\n",
        "1|2.5\n-3e2|.5\n",
        "1 2.5\n-3e2 .5\n",
        "  1   2.5 \r\n -3e2  .5\r\n",
        "+1,2.5\n-3e+2,+.5\n",
    ],
)
@pytest.mark.parametrize("small", [0, 1 << 16])
def test_every_dialect_gives_the_same_numbers(text: str, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "SMALL", small)
    assert decode(text).features.tolist() == [[1, 2.5], [-300, 0.5]]
    for block_bytes in (3, 10):
        blocks = read(text.encode(), block_bytes=block_bytes)
        assert concatenate(blocks).features.tolist() == [[1, 2.5], [-300, 0.5]]


@pytest.mark.parametrize("small", [0, 1 << 16])
def test_empty_cell_is_nan_and_nan_and_infinity_are_read(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "SMALL", small)
    found = decode("1,,3\nnan,inf,-Infinity\nNaN,1e999, \n").features
    np.testing.assert_array_equal(
        found, [[1, np.nan, 3], [np.nan, np.inf, -np.inf], [np.nan, np.inf, np.nan]]
    )


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-16", "encoding"), ("latin-1", "charset"), ("utf-16-le", "charset"), ("ascii", "charset")],
)
def test_encoding_of_the_content_type_is_used(encoding: str, name: str) -> None:
    body = "1,2\r\n3,4\r\n5,6".encode(encoding)
    expected = [[1, 2], [3, 4], [5, 6]]
    assert decode(body, f"text/csv;{name}={encoding}").features.tolist() == expected
    blocks = read(body, f"text/csv;{name}={encoding}", block_bytes=5)
    assert concatenate(blocks).features.tolist() == expected


def test_unknown_encoding_and_wrong_encoding_are_user_errors() -> None:
    with pytest.raises(UserError, match="there is no encoding 'klingon'"):
        decode("1", "text/csv;encoding=klingon")
    with pytest.raises(UserError, match="there is no encoding 'hex'"):
        decode("1", "text/csv;encoding=hex")
    with pytest.raises(UserError, match="is no utf-16 text"):
        decode(b"\x00\xd8\x00", "text/csv;encoding=utf-16")
    with pytest.raises(UserError, match=r"row 1 of the request is no UTF-8 text; name its encoding"):
        decode("1,é\n".encode("latin-1"))


def test_labels_are_the_first_columns() -> None:
    found = decode("7,1,2\n8,3,4\n", "text/csv; label_size=1", width=2)
    assert found.labels is not None
    assert (found.labels.tolist(), found.features.tolist()) == ([[7], [8]], [[1, 2], [3, 4]])
    found = decode("7,9,1\n", "text/csv;label_size=2")
    assert found.labels is not None
    assert (found.labels.tolist(), found.features.tolist()) == ([[7, 9]], [[1]])
    with pytest.raises(UserError, match=r"label_size is 'one'; expected a whole number"):
        decode("1,2", "text/csv;label_size=one")
    with pytest.raises(UserError, match="leaves no feature"):
        decode("1,2", "text/csv;label_size=2")


def test_one_column_more_than_feature_dim_is_a_label_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            (found,) = read(b"9,1,2,3,4\n", width=4)
            assert found.features.tolist() == [[1, 2, 3, 4]]
    assert len(caplog.records) == 1
    assert read(b"1,2,3,4\n", width=4)[0].labels is None
    assert len(caplog.records) == 1


def test_wrong_width_is_told_with_both_numbers_and_the_remedy() -> None:
    rows = b"1,2,3,4\n" * 16
    problem = (
        r"feature_dim is 4 but row 17 of train/a\.csv has 5 values; "
        r"with a label column use content type text/csv;label_size=1"
    )
    for block_bytes in (10, 1 << 20):
        with pytest.raises(UserError, match=problem):
            read(rows + b"1,2,3,4,5\n" + rows, width=4, block_bytes=block_bytes)
    with pytest.raises(UserError, match=r"feature_dim is 4 but row 1 of the request has 5 values"):
        decode("1,2,3,4,5", width=4)
    with pytest.raises(UserError, match=r"4 but row 1 .* has 4 values, 1 of them labels .*; 5 were expected"):
        decode("1,2,3,4", "text/csv;label_size=1", width=4)
    with pytest.raises(UserError, match=r"row 2 of the request has 3 values but the rows before it have 2"):
        decode("1,2\n1,2,3")


@pytest.mark.parametrize("rows", [1, 20_000])
def test_text_is_named_with_row_and_column(rows: int) -> None:
    body = b"1,2,3\n" * rows + b"\n4, abc ,5\n" + b"1,2,3\n" * rows
    with pytest.raises(UserError, match=f"row {rows + 2} of train/a.csv holds the text 'abc' in column 2"):
        read(body)
    with pytest.raises(UserError, match="holds the text '1_000' in column 1"):
        decode("1_000,2\n")


def test_header_is_recognised_and_skipped_where_announced() -> None:
    text = "age,height\n30,1.8\n"
    with pytest.raises(UserError, match=r"row 1 of the request holds the text 'age' .* add header=present"):
        decode(text)
    found = decode(text, "text/csv;header=present")
    assert found.features.tolist() == [[30, np.float32(1.8)]]
    assert found.where(0) == "row 2 of the request"
    with pytest.raises(UserError, match="header is 'yes'; expected absent or present"):
        decode(text, "text/csv;header=yes")
    with pytest.raises(UserError, match="holds no rows"):
        decode("a,b\n", "text/csv;header=present")
    assert concatenate(read(text.encode(), "text/csv;header=present", block_bytes=3)).width == 2


@pytest.mark.parametrize("body", [b"\n", b"  \r\n", b"\xef\xbb\xbf"])
def test_body_without_rows_is_refused(body: bytes) -> None:
    with pytest.raises(UserError, match="the request holds no rows"):
        decode(body)


@pytest.mark.parametrize("small", [0, 1 << 16])
@pytest.mark.parametrize("block_bytes", [4, 1 << 20])
def test_rows_are_numbered_as_an_editor_shows_them(
    small: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_reader, "SMALL", small)
    found = concatenate(
        read(b"a,b\n\n1,2\n3,4\n\n\n5,6\n", "text/csv;header=present", block_bytes=block_bytes)
    )
    assert [found.where(row) for row in range(3)] == [f"row {n} of train/a.csv" for n in (3, 4, 7)]


def test_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optml.formats.blocks.LONGEST_LINE", 1 << 20)
    with pytest.raises(UserError, match="a line of more than 1 MiB"):
        read(b"1" * (3 << 20), block_bytes=1 << 18)


NUMBER = st.one_of(
    st.floats(width=64).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=12).map(str),
    st.sampled_from(["", " ", "+1", ".5", "5.", "1E5", "-0", "007", "1e400", "nan", "-inf", "1e-400", '"3"']),
)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(NUMBER, min_size=n, max_size=n), min_size=1, max_size=5)
    )
)
@example([["0.1", "16777217"], ["1e23", "3.4028236e38"]])
def test_results_do_not_depend_on_the_path_taken(rows: list[list[str]]) -> None:
    body = "\n".join([",".join(["1"] * len(rows[0])), *(",".join(row) for row in rows)]).encode()
    results = []
    with pytest.MonkeyPatch.context() as patch:
        for small in (1 << 16, 0):
            patch.setattr(csv_reader, "SMALL", small)
            results.append(decode(body))
        patch.setattr(csv_reader.Reader, "_large", lambda self, text, threads: None)
        results.append(decode(body))
    for other in results[1:]:
        np.testing.assert_array_equal(other.features, results[0].features)
        assert [other.where(row) for row in range(len(other))] == [
            results[0].where(row) for row in range(len(other))
        ]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), min_size=1, max_size=9), st.integers(1, 40)
)
def test_what_was_written_is_read(rows: list[tuple[float, float]], block_bytes: int) -> None:
    features = np.array(rows, np.float32)
    labels = np.arange(len(rows))[:, None] / 3
    body = csv.write(Records(features, labels))
    found = concatenate(read(body, "text/csv;label_size=1", block_bytes=block_bytes))
    np.testing.assert_array_equal(found.features, features)
    assert found.labels is not None
    np.testing.assert_array_equal(found.labels, labels)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.binary(max_size=80), st.text('0123456789,.eE+-"\r\n\t ;|nai_', max_size=60).map(str.encode))
)
def test_any_bytes_give_records_or_a_user_error(body: bytes) -> None:
    for block_bytes in (3, 1 << 20):
        try:
            read(body, block_bytes=block_bytes)
        except UserError:
            continue


def test_a_quote_that_does_not_end_is_told() -> None:
    with pytest.raises(UserError, match="row 1 of the request cannot be parsed as CSV: unexpected end"):
        decode('1,"2\n3,4\n')


@pytest.mark.parametrize("small", [0, 1 << 16])
@pytest.mark.parametrize("word", sorted({*cells.MISSING, "NA", "NaN", "NULL", "None", "nULL", "N/A"}))
def test_words_for_a_missing_value_are_nan(word: str, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "SMALL", small)
    found = decode(f"1,{word},3\n4, {word} ,6\n{word},8,9\n").features
    np.testing.assert_array_equal(found, [[1, np.nan, 3], [4, np.nan, 6], [np.nan, 8, 9]])


def test_a_missing_value_may_be_quoted() -> None:
    np.testing.assert_array_equal(
        decode('1,"NA",3\n"",2,"null"\n').features, [[1, np.nan, 3], [np.nan, 2, np.nan]]
    )


@pytest.mark.parametrize("word", ["missing", "nil", "no", "---", "n.a.", "inf.", "#DIV/0!", "0x1", "1_0"])
def test_other_words_are_none(word: str) -> None:
    with pytest.raises(
        UserError, match=r"holds the text .* in column 2; expected a number, or nothing for a"
    ):
        decode(f"1,{word},3\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7,669;-0,36;1\n6,9;0,4;2\n", r"decimal commas, with semicolons between them: write decimal points"),
        ("1;2\n1,5;2\n", "write a point before the decimals"),
        ("1,5\t2,5\n", r"with tabs between them: .*sep='\\t', decimal=','"),
        ("1,5 2\n", "with blanks between them"),
        ('"1,5","2"\n', "write a point before the decimals"),
        ('"1,234,567.5",2\n', "nothing between the thousands"),
        ('{"features": [1, 2]}\n', "the line looks like application/jsonlines"),
        ("1 0:2.5 7:1\n", "the line looks like text/libsvm: set the content type to that"),
        ("1,2\n3\t4\n", "row 2 of the request has 1 values but .* have 2; tabs part them, and commas those"),
    ],
)
def test_other_ways_to_write_numbers_are_told_with_the_cure(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        decode(text)


@pytest.mark.parametrize("small", [0, 1 << 16])
@pytest.mark.parametrize("first", ["1,2", "1,2,3,4"])
def test_a_first_row_of_another_length_than_all_others_is_blamed(
    first: str, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_reader, "SMALL", small)
    count = first.count(",") + 1
    said = f"row 2 of the request has {count} values but row 3 of the request and those after it have 3"
    with pytest.raises(UserError, match=said):
        decode(f"\n{first}\n" + "1,2,3\n" * 9)
    with pytest.raises(UserError, match="row 3 of the request has 3 values but the rows before it have 2"):
        decode("1,2\n1,2\n1,2,3\n1,2\n")


@needs_shared("cases")
@pytest.mark.parametrize("name", ["na_cells.csv", "na_first_row.csv"])
def test_the_cases_with_missing_values(name: str) -> None:
    found = concatenate(read((SHARED / "cases" / name).read_bytes(), "text/csv;label_size=1"))
    assert found.features.shape == (60, 4)
    assert np.isnan(found.features).any()


@needs_shared("cases/first_row_short.csv")
def test_the_case_with_a_short_first_row() -> None:
    with pytest.raises(UserError, match=r"row 1 of train/a\.csv has 4 values but row 2"):
        read((SHARED / "cases/first_row_short.csv").read_bytes(), "text/csv;label_size=1")
