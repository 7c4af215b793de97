"""Which entities training has seen, in a byte for each row of the entity table: a Bloom filter.

B. H. Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors", CACM 13(7), 1970; the places of an
entity are made of the two halves of its hash (A. Kirsch, M. Mitzenmacher, ESA 2006). With half as many
entities as rows, as advised, one in 400 that were never seen passes for seen; those seen are never missed.
"""

from __future__ import annotations

import math

import numpy as np

SMALLEST = 1 << 10  # bytes
PLACES = 4  # of an entity
TOGETHER = 1 << 18  # entities entered at a time


class Sketch:
    """bits: (b,) uint8."""

    def __init__(self, bits: np.ndarray) -> None:
        self.bits = bits

    @classmethod
    def empty(cls, rows: int) -> Sketch:
        return cls(np.zeros(max(rows, SMALLEST), np.uint8))

    def add(self, hashes: np.ndarray) -> None:
        """Enter entities by their hashes (n,) uint64."""
        for start in range(0, len(hashes), TOGETHER):
            at, bit = self._places(hashes[start : start + TOGETHER])
            np.bitwise_or.at(self.bits, at, bit)

    def seen(self, hashes: np.ndarray) -> np.ndarray:
        """(n,) bool: were these entities entered?"""
        at, bit = self._places(hashes)
        mask: np.ndarray = ((self.bits[at] & bit) != 0).all(axis=0)
        return mask

    def count(self) -> int:
        """About how many entities were entered."""
        bits = 8 * len(self.bits)
        free = max(bits - int(np.bitwise_count(self.bits).sum(dtype=np.int64)), 1)
        return round(bits / PLACES * math.log(bits / free))

    def _places(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bytes (4, n) and the bits in them (4, n)."""
        low = hashes & np.uint64(0xFFFFFFFF)
        high = (hashes >> np.uint64(32)) | np.uint64(1)
        places = (low + high * np.arange(PLACES, dtype=np.uint64)[:, None]) % np.uint64(8 * len(self.bits))
        return (places >> np.uint64(3)).astype(np.int64), np.uint8(1) << (places & np.uint64(7)).astype(
            np.uint8
        )
