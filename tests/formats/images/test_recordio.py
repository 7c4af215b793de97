from __future__ import annotations

import logging
import mmap
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.errors import UserError
from optml.formats.images.record import Image
from optml.formats.images.recordio import RecordFile
from optml.formats.recordio import MAGIC_BYTES, cut_frames, frame
from optml.formats.records import Records
from tests.shared import SHARED, needs_shared


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def packed(contents: list[bytes], labels: list[list[float]]) -> bytes:
    images = [
        Image(np.array(label, np.float32), number, content, vector=len(label) > 1)
        for number, (content, label) in enumerate(zip(contents, labels, strict=True))
    ]
    return b"".join(cut_frames(image.pack()) for image in images)


def test_the_header_of_an_image_record_is_as_published() -> None:
    payload = Image(np.array([1], np.float32), 5, b"JPEG").pack()
    assert payload.hex() == "000000000000803f05000000000000000000000000000000" + b"JPEG".hex()


@pytest.mark.parametrize("offset", [0, 4, 5, 96])
def test_a_magic_number_within_an_image_is_an_image(tmp_path: Path, offset: int) -> None:
    content = b"x" * offset + MAGIC_BYTES + b"y" * (96 - offset)
    data = packed([b"first", content, b"last"], [[0], [1, 2], [3]])
    records = RecordFile(written(tmp_path / "a.rec", data), "a.rec")
    assert [record.content for record in map(records.__getitem__, range(3))] == [b"first", content, b"last"]
    assert records.labels.values.tolist() == [0, 1, 2, 3]
    assert records.labels.lengths.tolist() == [1, 2, 1]
    assert [records[i].id for i in range(3)] == [0, 1, 2]


def test_labels_that_hold_the_magic_number_are_joined(tmp_path: Path) -> None:
    magic = float(np.frombuffer(MAGIC_BYTES, np.float32)[0])
    data = packed([b"image", b"other"], [[1, magic, 2], [magic]])
    records = RecordFile(written(tmp_path / "a.rec", data), "a.rec")
    assert records.labels.values.tolist() == [1, magic, 2, magic]
    assert records[1].content == b"other"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([MAGIC_BYTES, b"a", b"bcd"])).map(b"".join),
            st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_what_was_written_is_read_at_random(tmp_path_factory: pytest.TempPathFactory, rows) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("records") / "a.rec"
    path.write_bytes(packed([content for content, _ in rows], [labels for _, labels in rows]))
    records = RecordFile(path, "a.rec")
    assert len(records) == len(rows)
    for i in reversed(range(len(rows))):
        assert records[i].content == rows[i][0]
        assert records.labels[i].tolist() == rows[i][1]


def test_an_index_spares_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed([b"first", b"second"], [[0], [1]])
    path = written(tmp_path / "a.rec", data)
    (tmp_path / "a.idx").write_text("7\t40\n3\t0\n")
    monkeypatch.setattr(RecordFile, "_walk", lambda self: pytest.fail("walked"))
    records = RecordFile(path, "a.rec")
    assert [records[i].content for i in range(2)] == [b"first", b"second"]


@pytest.mark.parametrize("text", ["0\t0\n", "0\t0\n1\t36\n", "0\t4\n", "0\t0\n1\t4000\n", "no index\n", ""])
def test_an_index_of_another_file_is_left_aside(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path / "a.rec", packed([b"first", b"second"], [[0], [1]]))
    (tmp_path / "a.idx").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert len(RecordFile(path, "a.rec")) == 2
    assert "a.idx does not fit a.rec" in caplog.text


def test_a_file_that_is_cut_off_names_its_last_record(tmp_path: Path) -> None:
    data = packed([b"first", b"second"], [[0], [1]])
    with pytest.raises(UserError, match=r"train/a\.rec is cut off: record 2, which begins at byte 40"):
        RecordFile(written(tmp_path / "a.rec", data[:-4]), "train/a.rec")


def test_zeros_behind_the_last_record_are_ignored(tmp_path: Path) -> None:
    data = packed([b"first"], [[0]]) + bytes(3)
    assert len(RecordFile(written(tmp_path / "a.rec", data), "a.rec")) == 1


def test_a_file_of_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.rec is not a RecordIO file: at byte 0 .* im2rec\?"):
        RecordFile(written(tmp_path / "a.rec", b"\xff\xd8\xff\xe0" * 9), "a.rec")
    with pytest.raises(UserError, match="RecordIO as dmlc wrote it in 2015"):
        RecordFile(written(tmp_path / "a.rec", bytes.fromhex("0a23d73e") * 9), "a.rec")
    damaged = packed([b"first", b"second"], [[0], [1]])
    damaged = damaged[:40] + b"abcd" + damaged[44:]
    with pytest.raises(
        UserError, match=r"record 2 of a\.rec \(byte 40\) does not begin with RecordIO's magic"
    ):
        RecordFile(written(tmp_path / "a.rec", damaged), "a.rec")


def test_protobuf_records_are_told_apart(tmp_path: Path) -> None:
    from optml.formats.record_encoding import encode

    records = Records(np.ones((2, 5), np.float32), labels=np.zeros((2, 1), np.float32))
    data = encode(records)
    with pytest.raises(UserError, match=r"record 1 of a\.rec is no image but a protobuf record"):
        RecordFile(written(tmp_path / "a.rec", data), "a.rec")


@needs_shared("golden/recordio")
@pytest.mark.parametrize("name", ["dense_f32_label_f32.pbr", "sparse_f32.pbr", "response_kmeans.pbr"])
def test_protobuf_files_of_aws_are_told_apart(name: str) -> None:
    with pytest.raises(UserError, match="is no image but a protobuf record"):
        RecordFile(SHARED / "golden/recordio" / name, name)


def test_fewer_labels_than_announced_name_the_record(tmp_path: Path) -> None:
    data = packed([b"first"], [[0]]) + frame(bytes.fromhex("05000000") + bytes(24))
    with pytest.raises(UserError, match=r"record 2 of a\.rec announces 5 labels"):
        RecordFile(written(tmp_path / "a.rec", data), "a.rec")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 119), st.integers(0, 255), st.integers(1, 120))
def test_damage_gives_records_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, size: int
) -> None:
    data = bytearray(packed([b"first", b"second", b"third!!"], [[0], [1, 2], [3]]))
    data[at] = value
    path = tmp_path_factory.mktemp("damaged") / "a.rec"
    path.write_bytes(data[:size])
    with suppress(UserError):
        records = RecordFile(path, "a.rec")
        assert len([records[i] for i in range(len(records))]) == len(records.labels)


def test_the_file_is_mapped_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.rec", packed([b"first"], [[0]]))
    assert isinstance(RecordFile(path, "a.rec")._data, mmap.mmap)
