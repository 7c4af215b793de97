from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats.images import lst


def test_rows_of_one_label_and_of_several() -> None:
    text = b"\xef\xbb\xbf5\t1\tdog/img1.jpg\r\n\r\n1000\t 0.000000 \t ./cat/img 1.jpg\n7\t1\t0\t1\t0139.jpg"
    rows = lst.read(text, "a.lst")
    assert rows.paths == ["dog/img1.jpg", "cat/img 1.jpg", "0139.jpg"]
    assert [rows.labels[i].tolist() for i in range(3)] == [[1], [0], [1, 0, 1]]
    assert rows.name(2) == "0139.jpg (line 4 of a.lst)"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("5 1 dog.jpg", "parted by tabs"),
        ("5,1,dog.jpg", "parted by tabs"),
        ("5\tdog.jpg", "expected index, label"),
        ("5\tcat\tdog.jpg", "expected index, label"),
        ("dog.jpg\t1\t5\t", "expected index, label"),
        ("5\t1\t", "expected index, label"),
    ],
)
def test_a_line_that_is_no_row_is_named(line: str, hint: str) -> None:
    with pytest.raises(UserError, match=rf"line 2 of a\.lst is .*{hint}"):
        lst.read(f"1\t0\ta.jpg\n{line}\n".encode(), "a.lst")


def test_a_list_without_rows_is_refused() -> None:
    with pytest.raises(UserError, match=r"a\.lst has no rows"):
        lst.read(b"\n \n", "a.lst")


names = st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1).filter(
    lambda name: name not in "./"
)


@given(st.lists(st.tuples(st.lists(st.integers(-9, 99), min_size=1), names), min_size=1))
def test_what_was_written_is_read(given_rows: list[tuple[list[int], str]]) -> None:
    lines = ["\t".join(["0", *map(str, labels), f"folder/{name}"]) for labels, name in given_rows]
    rows = lst.read("\n".join(lines).encode(), "a.lst")
    assert [rows.labels[i].tolist() for i in range(len(rows))] == [labels for labels, _ in given_rows]
    assert len(rows.paths) == len(given_rows)


@given(st.binary())
def test_any_bytes_give_rows_or_a_sentence(text: bytes) -> None:
    with suppress(UserError):
        rows = lst.read(text, "a.lst")
        assert 0 < len(rows.paths) == len(rows.labels) == len(rows.lines)
