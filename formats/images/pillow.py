"""Images by Pillow: whatever is no JPEG of grey or colour. Its readers are named one by one, so that nothing
else is tried on bytes that strangers send."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

from optml.formats.images import header
from optml.formats.images.header import Header, UnreadableError

CHUNKS = 100_000  # of a PNG; encoders make one of each 8 kB or more
NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def pixels(content: bytes, about: Header, where: str, channels: int, shrink: int) -> np.ndarray:
    """(h, w, channels) uint8, sides divided by `shrink` and rounded up. Raises UnreadableError."""
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    readers: dict[str, Any] = {
        header.JPEG: JpegImagePlugin.JpegImageFile,
        header.PNG: PngImagePlugin.PngImageFile,
        header.WEBP: WebPImagePlugin.WebPImageFile,
        header.BMP: BmpImagePlugin.BmpImageFile,
    }
    if about.form == header.PNG:
        content = bare(content, where)
    try:
        image = readers[about.form](io.BytesIO(content))
        if image.size != (about.width, about.height):  # whose memory nobody has agreed to
            raise ValueError("its size is {} x {}".format(*image.size))
        image = _reduced(image, channels)
        if shrink > 1:
            image = image.reduce(shrink)
        values = np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # its readers raise whatever they come across
        raise UnreadableError(f"{where} cannot be decoded as {about.form}: {_said(error)}") from None
    return values[:, :, None] if values.ndim == 2 else values


def _reduced(image: Any, channels: int) -> Any:
    """To 8 bits and the channels that are wanted; alpha is left out, not blended in."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey: the upper ones, as of 16 bits of colour
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in ("LA", "RGBA", "P", "PA", "CMYK", "1", "L", "RGB", "RGBX"):
        image = image.convert("RGB") if image.mode not in ("LA", "L", "1") else image.convert("L")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def bare(content: bytes, where: str) -> bytes:
    """A PNG with the chunks that make its pixels and no others: texts and profiles of colours are compressed
    and may be inflated to anything."""
    segments = [content[:8]]
    at, whole = 8, True
    for _ in range(CHUNKS):
        if len(content) < at + 8:
            raise UnreadableError(f"{where} is a PNG that is cut off at byte {len(content)}")
        (length,) = struct.unpack_from(">I", content, at)
        kind, end = content[at + 4 : at + 8], at + 12 + length
        if kind in NEEDED:
            segments.append(content[at:end])
        else:
            whole = False
        if end > len(content):
            raise UnreadableError(
                f"{where} is a PNG that is cut off: its chunk {kind.decode('ascii', 'replace')} at byte {at} "
                f"ends at {end}, the data at {len(content)}"
            )
        if kind == b"IEND":
            return content if whole else b"".join(segments)
        at = end
    raise UnreadableError(f"{where} is a PNG of more than {CHUNKS} chunks")


def _said(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200] or type(error).__name__
