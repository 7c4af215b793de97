"""The sides of pictures: where they are cut, so that pictures of any size take bounded memory.

Those with a side above MOST are cut into tiles of one size that overlap, and each pixel is answered for by
the tile in which it lies farthest from an inner edge.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise, product

from optml.errors import UserError

MOST = 2048  # pixels of a side that the network takes at once
OVERLAP = 256  # pixels that neighbours share, at least
VARIABLE = "OPTML_MAX_SIDE"

Span = tuple[int, int]  # first pixel, and the one behind the last


@dataclass(frozen=True, slots=True)
class Cut:
    """Along one axis: `whole` is what a tile sees, `own` what it answers for."""

    whole: Span
    own: Span


def cuts(length: int) -> list[Cut]:
    """Of a side of so many pixels."""
    if length <= MOST:
        return [Cut((0, length), (0, length))]
    count = -(-(length - OVERLAP) // (MOST - OVERLAP))
    size = -(-(length + (count - 1) * OVERLAP) // count)
    starts = [round(place * (length - size) / (count - 1)) for place in range(count)]
    inner = [(before + size + after) // 2 for before, after in pairwise(starts)]
    edges = [0, *inner, length]
    owns = pairwise(edges)
    return [Cut((start, start + size), own) for start, own in zip(starts, owns, strict=True)]


def tiles(height: int, width: int) -> list[tuple[Cut, Cut]]:
    """Rows and columns of each tile of a picture."""
    return list(product(cuts(height), cuts(width)))


def limited(height: int, width: int) -> tuple[int, int]:
    """The size in which the network sees a picture: smaller where a side is above OPTML_MAX_SIDE."""
    most = parse_max_side(os.environ.get(VARIABLE, ""))
    longer = max(height, width)
    if most is None or longer <= most:
        return height, width
    return max(height * most // longer, 1), max(width * most // longer, 1)


def parse_max_side(text: str) -> int | None:
    """The text of OPTML_MAX_SIDE; an empty one: no limit. Raises UserError for what is no such number."""
    text = text.strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 16 <= int(text) < 1 << 16):
        raise UserError(
            f"environment variable {VARIABLE}='{text}' is not a whole number of pixels from 16 to {2**16 - 1}"
        )
    return int(text)


def scaled(cut: Cut, length: int, asked: int) -> Cut:
    """A cut of a side of `length` pixels, in the side of `asked` pixels that it was made of."""
    if length == asked:
        return cut

    def span(of: Span) -> Span:
        return of[0] * asked // length, of[1] * asked // length

    return Cut(span(cut.whole), span(cut.own))
