"""What an encoded image says of itself before its pixels are made: its form by its first bytes, its size.

The size is held against a limit here, before memory is taken for it: some hundred bytes of PNG can announce
pixels without end.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass

from optml.errors import UserError

MAX_PIXELS = 100_000_000
VARIABLE = "OPTML_MAX_PIXELS"
SCANS = 200  # of a JPEG; encoders make ten, and each takes a pass over all pixels

_SCAN = re.compile(rb"\xff\xda")  # counts in a quarter of the time of bytes.count

JPEG, PNG, WEBP, BMP = "JPEG", "PNG", "WebP", "BMP"


class UnreadableError(UserError):
    """An image of which no pixels can be made: damaged, cut off, or of another form. Others beside it may
    do."""


@dataclass(frozen=True, slots=True)
class Header:
    """form: JPEG, PNG, WebP or BMP, whatever its name or content type says. fast: simplejpeg decodes it."""

    form: str
    height: int
    width: int
    fast: bool = False


def read(content: bytes, where: str) -> Header:
    """Raises UnreadableError, naming `where`, for what is no image that is read here, UserError for one that
    announces more pixels than OPTML_MAX_PIXELS."""
    form = sniff(content)
    if form is None:
        raise UnreadableError(f"{where} is no JPEG, PNG, WebP or BMP image: {_kind(content)}")
    header = _READERS[form](content, where)
    if header.height < 1 or header.width < 1:
        raise UnreadableError(f"{where} is {form} of {header.width} x {header.height} pixels")
    limit = max_pixels()
    if header.height * header.width > limit:
        raise UserError(
            f"{where} announces {header.width} x {header.height} = {header.width * header.height} pixels, "
            f"more than the limit of {limit}; make the image smaller, or set {VARIABLE}"
        )
    return header


def sniff(content: bytes) -> str | None:
    """The form by the first bytes; None: none that is read here."""
    if content[:3] == b"\xff\xd8\xff":
        return JPEG
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return PNG
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WEBP
    if content[:2] == b"BM" and content[6:10] == bytes(4):
        return BMP
    return None


def max_pixels() -> int:
    """The most pixels of one image, by the environment. Raises UserError for what is no such number."""
    return parse_max_pixels(os.environ.get(VARIABLE, ""))


def parse_max_pixels(text: str) -> int:
    """The text of OPTML_MAX_PIXELS; an empty one is the default."""
    text = text.strip()
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31):
        raise UserError(
            f"environment variable {VARIABLE}='{text}' is not a whole number of pixels from 1 to {2**31 - 1}"
        )
    return int(text)


def _jpeg(content: bytes, where: str) -> Header:
    import simplejpeg

    # A marker within compressed data is escaped, so these two bytes begin a scan (or are a thumbnail's).
    if len(_SCAN.findall(content)) > SCANS:
        raise UnreadableError(f"{where} is a JPEG of more than {SCANS} scans")
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:  # sampling that libjpeg-turbo's simple interface does not know, or damage
        return _jpeg_frame(content, where)
    return Header(JPEG, height, width, fast=space in ("YCbCr", "Gray", "RGB"))


def _jpeg_frame(content: bytes, where: str) -> Header:
    """The size by the frame's header (ITU-T T.81, B.2.2), which Pillow holds its decoder to."""
    at = 2
    while len(content) >= at + 9 and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return Header(JPEG, height, width)
        at += 2 + length
    raise UnreadableError(f"{where} is a JPEG that is damaged or cut off in its header")


def _png(content: bytes, where: str) -> Header:
    if content[12:16] != b"IHDR" or len(content) < 33:
        raise UnreadableError(f"{where} is a PNG that is cut off in its header")
    width, height = struct.unpack_from(">II", content, 16)
    return Header(PNG, height, width)


def _webp(content: bytes, where: str) -> Header:
    """RFC 9649, sections 2.5 to 2.7."""
    kind = content[12:16]
    if len(content) < 30:
        raise UnreadableError(f"{where} is a WebP that is cut off in its header")
    if kind == b"VP8X":
        width = int.from_bytes(content[24:27], "little") + 1
        height = int.from_bytes(content[27:30], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (word & 0x3FFF for word in struct.unpack_from("<HH", content, 26))
    else:
        raise UnreadableError(f"{where} is a WebP without an image: its first chunk is {kind!r}")
    return Header(WEBP, height, width)


def _bmp(content: bytes, where: str) -> Header:
    if len(content) < 30:
        raise UnreadableError(f"{where} is a BMP that is cut off in its header")
    if content[14:18] == b"\x0c\0\0\0":  # OS/2's
        width, height = struct.unpack_from("<HH", content, 18)
    else:
        width, height = struct.unpack_from("<ii", content, 18)
    return Header(BMP, abs(height), abs(width))  # below zero: rows from the top down


_READERS = {JPEG: _jpeg, PNG: _png, WEBP: _webp, BMP: _bmp}


def _kind(content: bytes) -> str:
    """What it is instead, for a message."""
    if not content:
        return "it is empty, 0 bytes"
    for first, name in ((b"GIF8", "a GIF"), (b"II*\0", "a TIFF"), (b"MM\0*", "a TIFF"), (b"%PDF", "a PDF")):
        if content.startswith(first):
            return f"it is {name}; convert it"
    if content.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file by 'git lfs pull'"
    if content[4:8] == b"ftyp":
        return "it is HEIF, AVIF or a film; convert it"
    return f"it begins with {content[:4].hex(' ')}"
