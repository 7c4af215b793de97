"""Whatever is cut and joined again: each record has one answer, in its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optml.formats.record_encoding import encode
from optml.formats.records import Records
from optml.local.transform import job
from optml.local.transform.job import Report, TransformSettings, transform
from tests.local.transform.inprocess import InProcess

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
LIBSVM, RECORDIO = "text/libsvm", "application/x-recordio-protobuf"


@dataclass(frozen=True)
class Layout:
    """How a table is written. `blanks`: places before which a blank line stands."""

    end: str = "\n"
    final: bool = True
    mark: bool = False  # of UTF-8
    gzipped: bool = False
    blanks: tuple[int, ...] = ()
    encoding: str = "utf-8"

    def text(self, lines: list[str]) -> bytes:
        for place in sorted(self.blanks, reverse=True):
            lines = [*lines[:place], "  " if place % 2 else "", *lines[place:]]
        text = self.end.join(lines) + (self.end if self.final and lines else "")
        return self.packed((b"\xef\xbb\xbf" if self.mark else b"") + text.encode(self.encoding))

    def packed(self, data: bytes) -> bytes:
        return gzip.compress(data, 1) if self.gzipped else data


LAYOUTS = st.builds(
    Layout,
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    final=st.booleans(),
    mark=st.booleans(),
    gzipped=st.booleans(),
    blanks=st.lists(st.integers(0, 30), max_size=4).map(tuple),
)
SENDING = st.fixed_dictionaries(
    {
        "batch_strategy": st.sampled_from(["MultiRecord", "SingleRecord"]),
        "max_concurrent_transforms": st.integers(1, 3),
    }
)


def transformed(content: bytes, payload: int | None = 6 << 20, **options: Any) -> tuple[bytes | None, Report]:
    """The output of a file (None: it has none), with requests of `payload` bytes; None: without a limit."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in")
        source.write_bytes(content)
        with patch.object(job, "Client", InProcess()), patch.object(job, "MEGABYTE", payload or 1):
            report = transform(
                source,
                Path(folder, "out"),
                "http://in.process",
                TransformSettings(max_payload_mb=0 if payload is None else 1, **options),
            )
        output = Path(folder, "out", "in.out")
        return (output.read_bytes() if output.exists() else None), report


def answers(content: bytes, **options: Any) -> list[float]:
    output, report = transformed(content, **options)
    assert report.done == ["in"], report.failed
    assert output is not None
    if options["accept"] == LINES:
        return [json.loads(line)["score"] for line in output.splitlines()]
    return [float(line) for line in output.splitlines()]


def in_lines(media: str, accept: str = CSV) -> dict[str, Any]:
    return {"content_type": media, "accept": accept, "split_type": "Line", "assemble_with": "Line"}


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 30), st.booleans(), LAYOUTS, SENDING, st.integers(0, 60) | st.none())
@example(3, True, Layout(), {"batch_strategy": "SingleRecord"}, 0)
@example(30, True, Layout(end="\r"), {"batch_strategy": "MultiRecord"}, 9)
def test_each_row_of_a_csv_has_one_answer_in_its_place(
    count: int, header: bool, layout: Layout, sending: dict[str, Any], room: int | None
) -> None:
    rows = [f"{number},{'9' * (number % 5)}1" for number in range(count)]
    content = layout.text((["a,b"] if header else []) + rows)
    media = f"{CSV};header=present" if header else CSV
    payload = None if room is None else len("a,b\r\n29,99991\r\n") + room
    expected = [float(number) for number in range(count)]
    assert answers(content, payload=payload, **in_lines(media), **sending) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), LAYOUTS, SENDING, st.integers(0, 60) | st.none(), st.sampled_from([LINES, LIBSVM]))
def test_each_line_has_one_answer_in_its_place(
    count: int, layout: Layout, sending: dict[str, Any], room: int | None, media: str
) -> None:
    if media == LINES:
        rows = [json.dumps({"features": [number, 1]}) for number in range(count)]
    else:
        rows = [f"0:{number} 1:1" for number in range(count)]
        rows[1:1] = ["# no record"] if rows else []
    payload = None if room is None else 40 + room
    expected = [float(number) for number in range(count)]
    assert answers(layout.text(rows), payload=payload, **in_lines(media, LINES), **sending) == expected


CELLS = st.text(st.sampled_from('ab,;"\n\r äë'), max_size=6)


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@settings(max_examples=150, deadline=None)
@given(st.lists(CELLS, max_size=12), st.booleans(), LAYOUTS, SENDING, st.integers(0, 60))
def test_answers_are_joined_to_the_records_they_answer_line_ends_in_quotes_included(
    cells: list[str], header: bool, layout: Layout, sending: dict[str, Any], room: int
) -> None:
    rows = [f"{quoted(cell)},{number},1" for number, cell in enumerate(cells)]
    content = layout.text((['"a\nb",c,d'] if header else []) + rows)
    media = f"{CSV};header=present" if header else CSV
    output, report = transformed(
        content,
        payload=len("c,d\n11,1\n") + room,
        **in_lines(media),
        **sending,
        input_filter="$[1:]",
        join_source="Input",
        output_filter="$[0,1,-1]",
    )
    assert report.done == ["in"], report.failed
    assert output is not None
    found = list(csv.reader(io.StringIO(output.decode(), newline="")))
    assert found == [[cell, str(number), f"{number}.0"] for number, cell in enumerate(cells)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), SENDING, st.integers(0, 200) | st.none(), st.booleans(), st.booleans())
def test_each_record_of_record_io_has_one_answer_in_its_place(
    count: int, sending: dict[str, Any], room: int | None, gzipped: bool, assembled: bool
) -> None:
    table = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    content = Layout(gzipped=gzipped).packed(encode(Records(table)) if count else b"")
    options = in_lines(RECORDIO, LINES) | {"split_type": "RecordIO"}
    payload = None if room is None else 60 + room
    assert answers(content, payload=payload, **options, **sending) == table[:, 0].tolist()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32"])
@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_text_in_another_encoding_is_cut_into_its_own_lines(encoding: str, strategy: Any) -> None:
    rows = [f"ä{number},{number},1" for number in range(20)]
    output, report = transformed(
        Layout(encoding=encoding).text(rows),
        payload=30,
        **in_lines(f"{CSV};encoding={encoding}"),
        batch_strategy=strategy,
        input_filter="$[1:]",
        join_source="Input",
    )
    assert report.done == ["in"], report.failed
    assert output is not None
    assert output.decode().splitlines() == [f"{row},{number}.0" for number, row in enumerate(rows)]


@pytest.mark.parametrize("split", ["None", "Line"])
def test_a_header_is_filtered_with_the_rows_and_is_joined_to_nothing(split: Any) -> None:
    output, report = transformed(
        b"id,a,b\nx,1,2\ny,3,4\n",
        content_type=f"{CSV};header=present",
        accept=CSV,
        split_type=split,
        assemble_with=split,
        input_filter="$[1:]",
        join_source="Input",
    )
    assert report.done == ["in"], report.failed
    assert output is not None
    assert output.splitlines() == [b"x,1,2,1.0", b"y,3,4,3.0"]


def test_a_file_of_nothing_but_a_header_has_an_empty_output() -> None:
    assert transformed(b"a,b\n", **in_lines(f"{CSV};header=present"))[0] == b""


def test_a_record_that_does_not_fit_beside_its_header_is_named() -> None:
    _, report = transformed(b"a,b\n1,2\n1,23456\n", payload=9, **in_lines(f"{CSV};header=present"))
    assert "record 2, with the header, is larger than the payload limit" in report.failed["in"]


def test_a_quote_that_is_never_closed_is_suspected_where_a_record_is_too_large() -> None:
    content = b'a,1\n"b,2\n' + b"c,3\n" * 500_000
    with patch("optml.serving.lines._PIECE", 1000):
        _, report = transformed(content, payload=2000, **in_lines(CSV))
    assert "record 2 is larger than the payload limit" in report.failed["in"]
    assert "(is a quote not closed?)" in report.failed["in"]


def test_a_quote_within_a_cell_is_text() -> None:
    content = b'5" disk,1,1\n6" disk,2,1\n'
    output, _ = transformed(
        content, **in_lines(CSV), batch_strategy="SingleRecord", input_filter="$[1:]", join_source="Input"
    )
    assert output == b'5" disk,1,1,1.0\n6" disk,2,1,2.0\n'
