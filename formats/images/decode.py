"""Pixels of JPEG, PNG, WebP and BMP, told by their first bytes: (height, width, channels) uint8, RGB or grey.

Alpha is left out, palettes are looked up, 16 bits become the upper 8, CMYK becomes RGB, grey is repeated
where three channels are wanted and colour becomes luma (ITU-R 601) where one is. EXIF is ignored, an
orientation too: training and inference see pixels in the order in which they are stored, as AWS's reader of
`.rec` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from optml.formats.images import header
from optml.formats.images.header import JPEG, Header, UnreadableError

SHRINKS = (8, 4, 2, 1)  # what a JPEG's sides can be divided by while it is decoded
KEPT = 1 << 26  # bytes of scratch memory that are kept for the next image


class Memory(Protocol):
    """Where pixels are decoded to."""

    def of(self, size: int) -> np.ndarray:
        """(size,) uint8."""


class Scratch:
    """Memory of one thread for the pixels of one image after the other: to take it anew from the system costs
    as much as to decode a JPEG into it."""

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def of(self, size: int) -> np.ndarray:
        """(size,) uint8; what was there before is overwritten."""
        if size > KEPT:
            return np.empty(size, np.uint8)
        if len(self._memory) < size:
            self._memory = np.empty(size, np.uint8)
        return self._memory[:size]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image of which the header was read and found good; `where` names it in messages."""

    content: bytes
    header: Header
    where: str

    @classmethod
    def of(cls, content: bytes, where: str) -> Encoded:
        """Raises UnreadableError for no image, UserError for one of too many pixels; takes no memory."""
        return cls(content, header.read(content, where), where)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.header.height, self.header.width

    def shape(self, channels: int = 3, shrink: int = 1) -> tuple[int, int, int]:
        """Of `pixels`."""
        return -(-self.header.height // shrink), -(-self.header.width // shrink), channels

    def pixels(self, channels: int = 3, shrink: int = 1, scratch: Memory | None = None) -> np.ndarray:
        """(ceil(h / shrink), ceil(w / shrink), channels) uint8: pixel i covers the image's i * shrink and the
        shrink - 1 behind it. shrink: 1, 2, 4 or 8.   scratch: where the pixels lie until its next use.

        Raises UnreadableError for an image that is damaged or cut off.
        """
        if not self.header.fast:
            from optml.formats.images.pillow import pixels

            return pixels(self.content, self.header, self.where, channels, shrink)
        height, width, _ = self.shape(channels, shrink)
        memory = scratch.of(height * width * channels) if scratch else None
        space = "GRAY" if channels == 1 else "RGB"
        try:
            return _jpeg(self.content, space, height, width, shrink, memory, True)
        except ValueError as error:
            if "extraneous bytes" in str(error):  # between its parts: nothing of the image is lost
                return _jpeg(self.content, space, height, width, shrink, memory, False)
            raise UnreadableError(f"{self.where} cannot be decoded as {JPEG}: {error}") from None


def decode(content: bytes, where: str, channels: int = 3) -> np.ndarray:
    """The pixels of a whole image, (h, w, channels) uint8. Raises UserError, naming `where`."""
    return Encoded.of(content, where).pixels(channels)


def shrink_for(scale: float) -> int:
    """By what the sides of an image can be divided whose pixels are then taken `scale` apart or more."""
    return next(shrink for shrink in SHRINKS if shrink <= max(scale, 1.0))


def _jpeg(
    content: bytes, space: str, height: int, width: int, shrink: int, memory: np.ndarray | None, strict: bool
) -> np.ndarray:
    import simplejpeg

    pixels: np.ndarray = simplejpeg.decode_jpeg(
        content, space, min_height=height, min_width=width, min_factor=shrink, buffer=memory, strict=strict
    )
    return pixels
