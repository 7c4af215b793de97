"""PNGs of one channel, written without a library: masks, and what a server asks its model with before it
takes requests.

ISO/IEC 15948. Rows are not filtered: runs of one value, which masks have most, compress best so.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

COLOURS = 3 * 256  # bytes of a palette that has a colour for each value
LEVEL = 1  # of zlib; masks are hardly smaller at higher ones, and take longer


def png(values: np.ndarray, palette: bytes = b"") -> bytes:
    """(h, w) uint8 as a PNG: grey, or places in a palette, R, G, B of each value from 0 on."""
    height, width = values.shape
    rows = np.zeros((height, width + 1), np.uint8)  # filter 0 in front of each
    rows[:, 1:] = values
    head = struct.pack(">IIBBBBB", width, height, 8, 3 if palette else 0, 0, 0, 0)
    colours = _chunk(b"PLTE", palette[:COLOURS].ljust(COLOURS, b"\0")) if palette else b""
    pixels = _chunk(b"IDAT", zlib.compress(rows.data, LEVEL))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + colours + pixels + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
