"""Headers of CSV: known from data, never lost for data, and found again where parts are joined."""

from __future__ import annotations

import io
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats import csv, csv_header, csv_reader
from optml.formats.cells import number
from optml.formats.column_order import ColumnOrder
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout
from optml.formats.records import Records, concatenate

PRESENT = ContentType.parse("text/csv;header=present")
ABSENT = ContentType.parse("text/csv")


@pytest.fixture(autouse=True)
def _say_afresh() -> None:
    csv_header._say.cache_clear()


def read(
    text: str,
    content_type: ContentType = PRESENT,
    labels: int = 0,
    columns: ColumnOrder | None = None,
    block_bytes: int = 1 << 20,
) -> Records:
    layout = Layout(None, labels, columns=columns)
    return concatenate(read_blocks(text, content_type, layout, block_bytes))


def read_blocks(
    text: str, content_type: ContentType = PRESENT, layout: Layout | None = None, block_bytes: int = 1 << 20
) -> list[Records]:
    stream = io.BytesIO(text.encode())
    return list(
        csv.read(stream, content_type, layout or Layout(), source="train/a.csv", block_bytes=block_bytes)
    )


@pytest.mark.parametrize(
    "first",
    ["age,height", "id,k,na", "y,0,1", '"a",b', "n/a,x", "a,b,"],
)
def test_a_header_that_nobody_announced_is_told(first: str) -> None:
    rows = ",".join("1" * (first.count(",") + 1))
    with pytest.raises(UserError, match=r"row 1 of train/a\.csv .* looks like a header; .* header=present"):
        read(f"{first}\n{rows}\n", ABSENT)


def test_one_word_above_numbers_is_a_header_though_another_column_holds_words() -> None:
    with pytest.raises(UserError, match="looks like a header"):
        read("name,age\nAnn,30\n", ABSENT)


@pytest.mark.parametrize("first", ["7.5,NA,2", "NA,1,2", "?,?,1", "\\N,null,None", "1,-,."])
def test_a_first_row_with_missing_values_is_data(first: str) -> None:
    assert len(read(f"{first}\n1,2,3\n", ABSENT)) == 2


@pytest.mark.parametrize("first", ["7.5,red,2", "5,red,3"])
def test_a_word_among_numbers_is_no_header(first: str) -> None:
    with pytest.raises(UserError, match="holds the text 'red' in column 2; expected a number, or nothing"):
        read(f"{first}\n1,2,3\n", ABSENT)


@pytest.mark.parametrize("first", ["7.669,-0.36", "1,0", "3,5", "NA,2", "5"])
def test_a_first_row_of_numbers_is_not_lost_for_a_header(first: str) -> None:
    for text in (f"{first}\n{first}\n", f"\n{first}\n"):
        with pytest.raises(UserError, match=r"header=present, but row \d of train/a.csv holds numbers alone"):
            read(text)


@pytest.mark.parametrize("first", ["0,1,2", "1,2,3", "2019,2020,2021"])
def test_numbers_that_count_columns_are_a_header_with_a_warning(
    first: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert read(f"{first}\n7,8,9\n").features.tolist() == [[7, 8, 9]]
    assert f"('{first}'): it is taken for the header" in caplog.text


@pytest.mark.parametrize("block_bytes", [1 << 20, 24])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_name_in_quotes_may_hold_line_ends_and_delimiters(block_bytes: int, end: str) -> None:
    header = f'"b{end}c",a,"d, e"'
    found = read(f"{header}{end}1,2,3{end}4,5,6{end}", block_bytes=block_bytes)
    assert found.features.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert [found.where(row) for row in range(2)] == ["row 3 of train/a.csv", "row 4 of train/a.csv"]
    again = read(f"{header}{end}1,2,3{end}{header}{end}4,5,6{end}")
    assert again.features.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_quote_that_does_not_end_is_told() -> None:
    with pytest.raises(UserError, match=r"row 1 of train/a\.csv, the header, cannot be parsed"):
        read('"a,b\n1,2\n')


@pytest.mark.parametrize("small", [0, 1 << 16])
@pytest.mark.parametrize("block_bytes", [1 << 20, 8])
def test_the_header_of_each_part_of_a_pipe_is_one(
    small: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_reader, "SMALL", small)
    parts = ["y,a,b\n1,2,3\n", '"b","y","a"\n6,4,5\n\n', "y,a,b\n", "a,b,y\n8,9,7\n"]
    found = read("".join(parts), labels=1, block_bytes=block_bytes)
    assert found.labels is not None
    assert found.labels.tolist() == [[1], [4], [7]]
    assert found.features.tolist() == [[2, 3], [5, 6], [8, 9]]
    assert [found.where(row) for row in range(3)] == [f"row {row} of train/a.csv" for row in (2, 4, 8)]


def test_a_part_with_other_columns_is_told() -> None:
    with pytest.raises(UserError, match=r"row 3 of train/a\.csv holds the text 'a' in column 1"):
        read("a,b\n1,2\na,c\n3,4\n")


@pytest.mark.parametrize("small", [0, 1 << 16])
def test_files_go_by_the_names_of_the_first(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "SMALL", small)
    columns = ColumnOrder()
    read("y,a,b\n1,2,3\n", labels=1, columns=columns)
    found = read("b;a;y\n3;2;1.1\n", labels=1, columns=columns)
    assert found.labels is not None
    assert (found.labels.tolist(), found.features.tolist()) == ([[1.1]], [[2, 3]])
    with pytest.raises(UserError, match=r"train/a\.csv has no column 'b', which train/a\.csv has"):
        read("y,a,c\n1,2,3\n", columns=columns)


def test_a_header_of_other_length_than_its_rows_is_told() -> None:
    with pytest.raises(UserError, match=r"header of train/a\.csv names 3 columns, but row 2 of .* has 2"):
        read("a,b,c\n1,2\n")


NAMES = st.lists(
    st.text("abcde _-", min_size=1, max_size=4).map(str.strip), min_size=1, max_size=4, unique=True
)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.data())
def test_no_row_is_lost_however_parts_are_cut_and_ordered(names: list[str], data: st.DataObject) -> None:
    if not any(number(name) is None for name in names):
        return
    text, first, rows = "", names, []
    for part in range(data.draw(st.integers(1, 4))):
        order = data.draw(st.permutations(names))
        first = first if part else order
        text += ",".join(f'"{name}"' for name in order) + "\n"
        for _ in range(data.draw(st.integers(0, 3))):
            row = {name: data.draw(st.integers(-9, 99)) for name in names}
            text += ",".join(str(row[name]) for name in order) + "\n"
            rows.append(row)
    blocks = read_blocks(text, block_bytes=data.draw(st.integers(1, 60)))
    found = [values for block in blocks for values in block.features.tolist()]
    assert found == [[row[name] for name in first] for row in rows]
