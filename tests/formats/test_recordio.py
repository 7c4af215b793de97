import io
import logging

import pytest

from optml.errors import UserError
from optml.formats.images import record as image_recordio
from optml.formats.images.record import Image
from optml.formats.recordio import MAGIC_BYTES, cut_frames, frame, payloads
from tests.shared import SHARED, needs_shared

GOLDEN = SHARED / "golden/recordio"
IMAGES = SHARED / "golden/image-recordio"


def read(data: bytes, block_bytes: int = 16) -> list[bytes]:
    return list(payloads(io.BytesIO(data), source="a.rec", block_bytes=block_bytes))


@pytest.mark.parametrize("block_bytes", [1, 16, 1 << 20])
def test_what_was_framed_is_read_in_blocks_of_any_size(block_bytes: int) -> None:
    texts = [b"", b"a", b"abcd", bytes(300), MAGIC_BYTES * 3, b"x" + MAGIC_BYTES]
    assert read(b"".join(map(frame, texts)), block_bytes) == texts
    assert read(b"".join(map(cut_frames, texts)), block_bytes) == texts


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 13])
def test_truncated_file_names_the_record_and_its_offset(cut: int) -> None:
    data = frame(b"first") + frame(b"second")[:cut]
    with pytest.raises(UserError, match=r"a\.rec is cut off: record 2, which begins at byte 16"):
        read(data)


def test_wrong_magic_names_record_offset_and_bytes() -> None:
    with pytest.raises(UserError, match=r"record 2 of a\.rec \(byte 16\) .* with 61 62 63 64"):
        read(frame(b"first") + b"abcdefgh")


def test_stray_zeros_at_the_end_are_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read(frame(b"first") + bytes(3)) == [b"first"]
    assert "ends with 3 zero bytes" in caplog.text


def test_padding_of_the_last_record_may_be_missing() -> None:
    assert read(frame(b"abc") + frame(b"de")[:-2]) == [b"abc", b"de"]


def test_parts_out_of_order_are_refused() -> None:
    middle = MAGIC_BYTES + (2 << 29 | 0).to_bytes(4, "little")
    with pytest.raises(UserError, match="continuation flag 2 out of order"):
        read(middle)


@needs_shared("golden/recordio")
def test_records_that_mxnet_split_are_joined() -> None:
    data = (GOLDEN / "magic_aligned_split_mxnet.rec").read_bytes()
    records = read(data)
    assert [len(record) for record in records] == [36, 3, 0, 4]
    assert records[0] == (GOLDEN / "magic_aligned_payload.bin").read_bytes()
    assert b"".join(map(cut_frames, records)) == data


@needs_shared("golden/recordio")
def test_magic_in_an_unsplit_payload_is_payload() -> None:
    data = (GOLDEN / "magic_aligned_unsplit.pbr").read_bytes()
    assert read(data) == [(GOLDEN / "magic_aligned_payload.bin").read_bytes()]


@needs_shared("golden/image-recordio")
@pytest.mark.parametrize("name", ["single_label", "multi_label", "detection"])
def test_images_of_mxnet_are_read_and_written_back_byte_for_byte(name: str) -> None:
    import json

    data = (IMAGES / f"{name}.rec").read_bytes()
    images = list(image_recordio.read(io.BytesIO(data), source=f"{name}.rec"))
    expected = json.loads((IMAGES / "expected.json").read_text())[f"{name}.rec"]
    assert [image.id for image in images] == [record["id"] for record in expected]
    for image, record in zip(images, expected, strict=True):
        assert image.labels.tolist() == pytest.approx(record["label"])
        assert image.vector == bool(record["flag"])
        assert image.content.startswith((b"\xff\xd8", b"\x89PNG"))
    out = io.BytesIO()
    offsets = image_recordio.write(images, out)
    assert out.getvalue() == data
    text = (IMAGES / f"{name}.idx").read_text()
    assert list(image_recordio.read_index(text, source="a.idx").values()) == offsets
    assert image_recordio.index(offsets) == text


@needs_shared("golden/image-recordio")
def test_plain_records_with_the_magic_number_inside_are_joined() -> None:
    import json

    expected = json.loads((IMAGES / "expected.json").read_text())["raw_magic.rec"]
    data = (IMAGES / "raw_magic.rec").read_bytes()
    assert [record.hex() for record in read(data, 64)] == [
        record if isinstance(record, str) else next(v for v in record.values() if isinstance(v, str))
        for record in expected
    ]


def test_image_with_fewer_labels_than_announced_names_the_record() -> None:
    whole = Image.unpack(bytes.fromhex("05000000") + bytes(20) + bytes(20), "record 1")
    assert len(whole.labels) == 5
    with pytest.raises(UserError, match=r"record 1 of a\.rec announces 5 labels"):
        list(image_recordio.read(io.BytesIO(frame(bytes.fromhex("05000000") + bytes(24))), source="a.rec"))
    with pytest.raises(UserError, match="header of 24"):
        list(image_recordio.read(io.BytesIO(frame(b"abc")), source="a.rec"))
