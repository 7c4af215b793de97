from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from optml.errors import UserError
from optml.formats.images import header
from optml.formats.images.decode import Encoded, Scratch, decode, shrink_for
from optml.formats.images.header import UnreadableError
from tests.algorithms.vision.pictures import jpeg, pixels, png
from tests.shared import SHARED, needs_shared

IMAGE = pixels(1)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int, *, interlaced: bool = False) -> bytes:
    """A PNG that announces pixels and has next to none."""
    about = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)
    data = zlib.compress(bytes(1 << 16), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})])
def test_forms_without_loss_give_their_pixels_in_the_order_red_green_blue(
    form: str, options: dict[str, bool]
) -> None:
    np.testing.assert_array_equal(decode(png(IMAGE, form, **options), "a"), IMAGE)


def test_a_jpeg_gives_what_its_library_gives() -> None:
    content = jpeg(1)
    np.testing.assert_array_equal(decode(content, "a"), simplejpeg.decode_jpeg(content))
    np.testing.assert_array_equal(decode(content, "a", 1), simplejpeg.decode_jpeg(content, "GRAY"))


@needs_shared("golden/image-recordio")
def test_pixels_that_mxnet_wrote_are_found() -> None:
    from optml.formats.images.recordio import RecordFile

    folder = SHARED / "golden/image-recordio"
    written = np.load(folder / "pixels_bgr_as_written.npz")
    for name, size in (("multi_label", "48x64"), ("detection", "64x64")):
        records = RecordFile(folder / f"{name}.rec", name)
        for i in range(len(records)):
            np.testing.assert_array_equal(
                decode(records[i].content, name)[..., ::-1], written[f"img{i}_{size}"]
            )


def test_alpha_is_left_out() -> None:
    alpha = np.dstack([IMAGE, np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)])
    np.testing.assert_array_equal(decode(png(alpha), "a"), IMAGE)


def test_a_palette_is_looked_up() -> None:
    few = (IMAGE // 64) * 64
    palette = Picture.fromarray(few).quantize(256)
    stream = io.BytesIO()
    palette.save(stream, "PNG", transparency=0)
    np.testing.assert_array_equal(decode(stream.getvalue(), "a"), np.asarray(palette.convert("RGB")))


def test_sixteen_bits_become_the_upper_eight() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (9, 8)).astype(np.uint16)
    np.testing.assert_array_equal(decode(png(values), "a", 1)[..., 0], values >> 8)
    np.testing.assert_array_equal(decode(png(values), "a")[..., 2], values >> 8)


def test_sixteen_bits_of_colour_become_the_upper_eight() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (9, 8, 3)).astype(">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in values)
    about = struct.pack(">IIBBBBB", 8, 9, 16, 2, 0, 0, 0)
    content = header_of_png(about) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode(content, "a"), (values >> 8).astype(np.uint8))


def header_of_png(about: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about)


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_is_repeated_where_three_channels_are_wanted(mode: str) -> None:
    content = png(IMAGE, mode=mode)
    grey = decode(content, "a", 1)
    assert grey.shape == (40, 50, 1)
    np.testing.assert_array_equal(decode(content, "a"), np.repeat(grey, 3, axis=2))


def test_cmyk_becomes_colour() -> None:
    content = png(IMAGE, "JPEG", mode="CMYK", quality=98, subsampling=0)
    assert np.abs(decode(content, "a").astype(int) - IMAGE).mean() < 6


def test_an_orientation_of_exif_is_ignored() -> None:
    about = Picture.Exif()
    about[0x0112] = 6  # turned by a quarter
    assert decode(png(IMAGE, "JPEG", exif=about), "a").shape == IMAGE.shape


def test_the_bytes_decide_not_the_name() -> None:
    np.testing.assert_array_equal(decode(png(IMAGE), "a.jpg"), IMAGE)


@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_sides_are_divided_while_decoding(shrink: int, form: str) -> None:
    content = png(pixels(0, (41, 67)), form)
    encoded = Encoded.of(content, "a")
    values = encoded.pixels(3, shrink, Scratch())
    assert values.shape == (-(-41 // shrink), -(-67 // shrink), 3)
    whole = decode(content, "a").astype(float)
    for row, column in ((0, 0), (4, 7)):
        block = whole[row * shrink :, column * shrink :][:shrink, :shrink].mean(axis=(0, 1))
        assert np.abs(values[row, column] - block).max() < 30  # a DCT's part is no mean of a block
    assert [shrink_for(scale) for scale in (0.3, 1.99, 2, 4.1, 100)] == [1, 1, 2, 4, 8]


def test_scratch_memory_is_used_again() -> None:
    scratch = Scratch()
    first = Encoded.of(jpeg(1), "a").pixels(3, 1, scratch)
    second = Encoded.of(jpeg(2, (20, 10)), "a").pixels(3, 1, scratch)
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(second, decode(jpeg(2, (20, 10)), "a"))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [(10_001, 10_000), (1 << 17, 1 << 17), (1 << 31) - 1])
def test_a_bomb_is_refused_before_memory_is_taken(size: tuple[int, int] | int, interlaced: bool) -> None:
    width, height = size if isinstance(size, tuple) else (size, size)
    content = bomb(width, height, interlaced=interlaced)
    tracemalloc.start()
    with pytest.raises(UserError, match=rf"a\.png announces {width} x {height} = .* limit of 100000000"):
        decode(content, "a.png")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_jpeg_of_many_pixels_is_refused_by_its_header() -> None:
    content = bytearray(jpeg(0))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    with pytest.raises(UserError, match="65500 x 65500 = 4290250000 pixels"):
        decode(bytes(content), "a")


def test_the_limit_of_pixels_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(header.VARIABLE, "1999")
    with pytest.raises(UserError, match="50 x 40 = 2000 pixels, more than the limit of 1999"):
        decode(png(IMAGE), "a")
    monkeypatch.setenv(header.VARIABLE, "2000")
    decode(png(IMAGE), "a")
    monkeypatch.setenv(header.VARIABLE, "many")
    with pytest.raises(UserError, match="OPTML_MAX_PIXELS='many' is not a whole number"):
        decode(png(IMAGE), "a")


@pytest.mark.parametrize(
    "inflating",
    [
        chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 26), 9)),
        chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1 << 26), 9)),
        chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(1 << 26), 9)),
    ],
    ids=["zTXt", "iCCP", "iTXt"],
)
def test_texts_and_profiles_of_a_png_are_not_inflated(inflating: bytes) -> None:
    content = png(IMAGE)
    tracemalloc.start()
    np.testing.assert_array_equal(decode(content[:33] + inflating + content[33:], "a"), IMAGE)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_jpeg_of_too_many_scans_is_refused() -> None:
    with pytest.raises(UnreadableError, match="more than 200 scans"):
        decode(jpeg(0)[:-2] + b"\xff\xda\0\2" * 300, "a")


@pytest.mark.parametrize("content", [jpeg(1, (200, 300)), png(pixels(1, (200, 300)))], ids=["JPEG", "PNG"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9, 0.998])
def test_a_file_that_is_cut_off_is_named(content: bytes, part: float) -> None:
    with pytest.raises(UnreadableError, match=r"train/a\.jpg (cannot be decoded|is a (PNG|JPEG))"):
        decode(content[: int(part * len(content))], "train/a.jpg")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty, 0 bytes"),
        (b"GIF89a....", "it is a GIF; convert it"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"1,2,3\n", "it begins with 31 2c 32 2c"),
    ],
)
def test_what_is_no_image_is_said(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableError, match=f"a is no JPEG, PNG, WebP or BMP image: .*{said}"):
        decode(content, "a")


FORMS = {
    "JPEG": jpeg(1),
    "progressive": png(IMAGE, "JPEG", progressive=True),
    "CMYK": png(IMAGE, "JPEG", mode="CMYK"),
    "PNG": png(IMAGE),
    "palette": png(IMAGE, mode="P"),
    "WebP": png(IMAGE, "WEBP"),
    "BMP": png(IMAGE, "BMP"),
}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.data())
def test_damage_gives_pixels_or_a_sentence(form: str, data: st.DataObject) -> None:
    content = bytearray(FORMS[form])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    with suppress(UserError):
        values = decode(bytes(content[:cut] if data.draw(st.booleans()) else content), "a", 3)
        assert (values.ndim, values.shape[2], values.dtype) == (3, 3, np.uint8)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP", b"BM0000\0\0\0\0", b""]),
    st.binary(),
)
def test_any_bytes_behind_a_magic_number_give_a_sentence(magic: bytes, rest: bytes) -> None:
    with pytest.raises(UserError, match=r"^a "):
        decode(magic + rest, "a")
