"""Masks: PNGs whose values are class ids, (height, width) uint8, as they are stored."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from optml.errors import UserError
from optml.formats.images import header
from optml.formats.images.decode import decode
from optml.formats.images.header import UnreadableError
from optml.formats.images.pillow import bare

MODES = ("P", "L", "1")


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask of which the header was read."""

    content: bytes
    size: tuple[int, int]  # height, width
    where: str

    @classmethod
    def of(cls, content: bytes, where: str) -> Mask:
        """Raises UnreadableError for no image, UserError for one that is no PNG, or too large."""
        about = header.read(content, where)
        if about.form != header.PNG:
            raise UserError(
                f"{where} is {about.form}; a mask must be PNG, which keeps its values as they are"
            )
        return cls(content, (about.height, about.width), where)

    def values(self) -> np.ndarray:
        """(h, w) uint8: places in the palette, or grey. Raises UserError for colours and 16 bits."""
        image = self._image()
        if image.mode not in MODES:
            raise UserError(
                f"{self.where} has the mode {image.mode}; a mask has one channel of 8 bits, a palette (P) or "
                "grey "
                "(L), whose values are class ids"
            )
        try:
            values: np.ndarray = np.asarray(image).astype(np.uint8, copy=False)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's readers raise whatever they come across
            raise UnreadableError(f"{self.where} cannot be decoded as PNG: {error}") from None
        return values

    def by_colour(self, colours: Mapping[tuple[int, int, int], int]) -> np.ndarray:
        """(h, w) uint8: the class of each pixel's colour, 255 where it is none's."""
        pixels = decode(self.content, self.where).astype(np.int32)
        numbers = pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
        known = sorted(
            (red << 16 | green << 8 | blue, label) for (red, green, blue), label in colours.items()
        )
        keys = np.array([key for key, _ in known])
        places = np.searchsorted(keys, numbers).clip(max=len(keys) - 1)
        labels = np.array([label for _, label in known], np.uint8)[places]
        values: np.ndarray = np.where(keys[places] == numbers, labels, np.uint8(255))
        return values

    def palette(self) -> bytes | None:
        """R, G, B of each value; None: there is none."""
        palette = self._image().getpalette()
        return None if palette is None else bytes(palette)

    def _image(self) -> Any:
        from PIL import PngImagePlugin

        content = bare(self.content, self.where)
        try:
            image = PngImagePlugin.PngImageFile(io.BytesIO(content))
        except Exception as error:
            raise UnreadableError(f"{self.where} cannot be decoded as PNG: {error}") from None
        if image.size != (self.size[1], self.size[0]):
            raise UnreadableError(f"{self.where} has several sizes")
        return image
