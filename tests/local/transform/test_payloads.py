import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats.content_type import ContentType
from optml.formats.recordio import cut_frames, frame
from optml.local.transform.payloads import payloads


def cut(path, **options):
    content = "text/csv" if options.get("split", "Line") == "Line" else "application/octet-stream"
    content = options.pop("content", content)
    options = {"name": path.name, "split": "Line", "strategy": "MultiRecord", "limit": 6 << 20, **options}
    return list(payloads(path, content=ContentType.parse(content), **options))


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"1,2\n3,4\r\n\n   \n5,6")
    return path


def test_lines_keep_their_ends_and_blank_ones_are_left_out(lines):
    assert [payload.body for payload in cut(lines)] == [b"1,2\n3,4\r\n5,6"]


def test_single_record_makes_a_request_of_each_line(lines):
    found = cut(lines, strategy="SingleRecord")
    assert [payload.body for payload in found] == [b"1,2\n", b"3,4\r\n", b"5,6"]
    assert [payload.name for payload in found] == ["record 1", "record 2", "record 3"]


def test_limit_closes_a_payload_and_the_payload_names_its_records(lines):
    found = cut(lines, limit=9)
    assert [(payload.body, payload.name) for payload in found] == [
        (b"1,2\n3,4\r\n", "records 1-2"),
        (b"5,6", "record 3"),
    ]


@pytest.mark.parametrize("tail", [b"\n", b"\n1\n", b""])
def test_record_larger_than_the_limit_is_named(tmp_path, tail):
    path = tmp_path / "a.csv"
    path.write_bytes(b"1,2\n" + b"9" * 3_000_000 + tail)
    with pytest.raises(
        UserError, match=r"record 2 is larger than the payload limit of 1 MB; raise MaxPayload"
    ):
        cut(path, limit=1 << 20)


def test_object_larger_than_the_limit_is_refused_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"9" * 3_000_000)
    with pytest.raises(UserError, match="it is larger than the payload limit of 2 MB"):
        cut(path, split="None", limit=2 << 20)
    (payload,) = cut(path, split="None", limit=3 << 20)
    assert payload.body == path.read_bytes()
    assert payload.name == ""


def test_gzip_is_removed(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"1\n2\n"))
    assert [payload.body for payload in cut(path)] == [b"1\n2\n"]
    (streamed,) = cut(path, limit=None)
    assert b"".join(streamed.stream()) == b"".join(streamed.stream()) == b"1\n2\n"


@pytest.mark.parametrize("split", ["None", "Line", "RecordIO"])
@pytest.mark.parametrize("limit", [None, 100])
def test_empty_file_has_no_payload(tmp_path, split, limit):
    path = tmp_path / "a"
    path.touch()
    assert cut(path, split=split, limit=limit) == []


def test_record_io_keeps_its_frames_whole_and_in_parts(tmp_path):
    magic = b"\x0a\x23\xd7\xce"
    frames = [frame(b"abc"), frame(b""), cut_frames(b"1234" + magic + b"5678"), frame(magic * 3)]
    path = tmp_path / "a.pbr"
    path.write_bytes(b"".join(frames))
    found = cut(path, split="RecordIO", strategy="SingleRecord")
    assert [payload.body for payload in found] == frames


def test_truncated_record_io_names_the_record(tmp_path):
    path = tmp_path / "a.pbr"
    path.write_bytes(frame(b"abcd") + frame(b"abcdefgh")[:-5])
    with pytest.raises(UserError, match=r"a\.pbr is cut off: record 2"):
        cut(path, split="RecordIO")


def test_input_filter_is_told_the_record_it_refuses(lines):
    def outgoing(record):
        if record.startswith(b"3"):
            raise UserError("no")
        return record[:1]

    with pytest.raises(UserError, match="record 2: no"):
        cut(lines, outgoing=outgoing)


def test_limit_holds_for_what_the_filter_leaves(lines):
    found = cut(lines, outgoing=lambda record: record[:1], keep_original=True, limit=2)
    assert [(payload.body, payload.original) for payload in found] == [
        (b"13", b"1,2\n3,4\r\n"),
        (b"5", b"5,6"),
    ]


LINE = st.binary(min_size=1, max_size=12).filter(
    lambda line: (
        not line.isspace() and not any(mark in line for mark in (b"\n", b"\r", b'"', b"\xef\xbb\xbf"))
    )
)


@given(st.lists(LINE), st.integers(1, 40), st.booleans(), st.booleans())
def test_no_line_is_lost_or_reordered(records, limit, single, ends):
    content = b"\n".join(records) + (b"\n" if ends and records else b"")
    strategy = "SingleRecord" if single else "MultiRecord"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        if any(len(line) >= limit for line in content.split(b"\n")):
            limit = 40
        if content.startswith(b"\x1f\x8b"):
            return
        found = cut(path, content="", limit=limit, strategy=strategy)
    assert b"".join(payload.body for payload in found) == content
    assert all(len(payload.body) <= limit for payload in found)
    assert [payload.first for payload in found] == [1, *(payload.last + 1 for payload in found)][: len(found)]
    if single:
        assert len(found) == len(records)
    else:  # as few requests as the limit allows in order
        sizes = [len(payload.body) for payload in found]
        starts = [len(payload.body.split(b"\n")[0]) + 1 for payload in found]
        assert all(
            size + start > limit for size, start in zip(sizes, starts[1:], strict=False) if size < limit - 1
        )


@given(st.lists(st.binary(max_size=20)), st.integers(28, 80))
def test_no_record_io_record_is_lost_or_reordered(records, limit):
    content = b"".join(frame(record) for record in records)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        found = cut(path, limit=limit, split="RecordIO")
    assert b"".join(payload.body for payload in found) == content
    assert all(len(payload.body) <= limit for payload in found)


@given(st.binary(), st.sampled_from(["None", "Line", "RecordIO"]), st.integers(1, 30))
def test_any_bytes_are_payloads_or_a_user_error(content, split, limit):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        try:
            found = cut(path, limit=limit, split=split)
        except UserError:
            return
    assert all(len(payload.body) <= limit for payload in found)
