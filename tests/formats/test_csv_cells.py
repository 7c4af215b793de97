from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats import csv, csv_cells
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout

DECIMALS = st.from_regex(
    r"[+-]?([0-9]{1,12}(\.[0-9]{0,8})?|\.[0-9]{1,9})([eE][+-]?[0-9]{1,2})?", fullmatch=True
)


@pytest.fixture(autouse=True, scope="module")
def compiled() -> None:
    if not csv_cells.ready():
        csv_cells.build()


@settings(max_examples=300, deadline=None)
@given(st.lists(DECIMALS, min_size=1, max_size=8))
@example(["9007199254740993", "1e22", "1e-22", "0.1", "-0"])
def test_decimals_round_as_python_rounds_them(cells: list[str]) -> None:
    found = csv_cells.parse(",".join(cells).encode(), ",", 1, len(cells), len(cells))
    if found is not None:
        np.testing.assert_array_equal(found[1][0], np.array(list(map(float, cells))))
        assert np.signbit(found[1][0]).tolist() == [cell.startswith("-") for cell in cells]


def test_usual_numbers_are_not_left_to_others() -> None:
    text = b"1,2.5,-0.125\r\n,3e-4,+7.\n.5,1E3,99999.123456\n"
    found = csv_cells.parse(text, ",", 3, 3, 1)
    assert found is not None
    features, labels = found
    np.testing.assert_array_equal(labels[:, 0], [1, np.nan, 0.5])
    np.testing.assert_array_equal(
        features, np.array([[2.5, -0.125], [3e-4, 7], [1000, 99999.123456]], np.float32)
    )


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3", "1", "1,x", "1, 2", '1,"2"', "1,nan", "1,inf", "1,-", "1,.", "1,e5", "1,1e", "1,1e999",
        "1,1_0",
        "1,0x1", "1,12345678901234567890", "1,0.12345678901234567", "1,2\n\n", "1,2\n3,4", "1;2",
        "1,\x00", "",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_others(text: str) -> None:
    assert csv_cells.parse(text.encode(), ",", 1, 2, 1) is None


@pytest.mark.parametrize("text", ["1\n\n2\n", "\n1", "1\r\n\r\n2\r\n"])
def test_a_blank_line_is_no_row_of_a_single_column(text: str) -> None:
    rows = text.count("\n") + (not text.endswith("\n"))
    assert csv_cells.parse(text.encode(), ",", rows, 1, 0) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(1, 4))
def test_any_bytes_are_parsed_or_left(text: bytes, columns: int) -> None:
    found = csv_cells.parse(text, ",", text.count(b"\n") + 1, columns, 0)
    assert found is None or found[0].shape == (text.count(b"\n") + 1, columns)


def test_long_files_read_as_short_ones_and_errors_keep_their_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(30_000, 5)).round(3)
    text = "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())

    def read(text: str) -> np.ndarray:
        blocks = csv.read(
            io.BytesIO(text.encode()),
            ContentType("text/csv"),
            Layout(None, 1),
            source="a.csv",
            block_bytes=1 << 18,
        )
        return np.concatenate([block.features for block in blocks])

    np.testing.assert_array_equal(read(text), rows[:, 1:].astype(np.float32))
    np.testing.assert_array_equal(read(text.replace(repr(rows[9, 1]), f'"{rows[9, 1]}"')), read(text))
    with pytest.raises(UserError, match="row 30001 of"):
        read(text + "1,2,3,x,5\n")


READ = """
import io, sys
from optml.formats import csv
from optml.formats.content_type import ContentType
from optml.formats.layout import Layout

csv._LONG = 0
text = b"".join(b"%d,%d.25,%d\\n" % (row, row, -row) for row in range(60_000))
kind, layout = ContentType("text/csv"), Layout(None, 1)
blocks = csv.read(io.BytesIO(text), kind, layout, source="a.csv", block_bytes=1 << 17)
print(sum(float(block.features.sum(dtype="d")) for block in blocks), "numba" in sys.modules)
"""


def test_the_first_job_compiles_the_code_and_the_next_reads_without_numba(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    said = [
        subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True).stdout for _ in range(2)
    ]
    assert said == ["15000.0 True\n", "15000.0 False\n"]
