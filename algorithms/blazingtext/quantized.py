"""Matrices of a model: plain, or product-quantised as fastText does it.

Joulin et al., "FastText.zip: Compressing text classification models", 2016: a row is cut into parts, each the
nearest of 256 centroids of that part; its length is quantised apart, where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Matrix(Protocol):
    """A float32 matrix of which rows are asked for."""

    @property
    def shape(self) -> tuple[int, int]: ...
    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """(n,) -> (n, d) float32."""


@dataclass(frozen=True, slots=True)
class Dense:
    values: np.ndarray  # (rows, d) float32

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.values.shape[0]), int(self.values.shape[1])

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(self.values[numbers], np.float32)


@dataclass(frozen=True, slots=True)
class Quantizer:
    """centroids (256 * dim,) float32: 256 of each part, of `width` numbers each, `last` in the last part."""

    dim: int
    width: int
    last: int
    centroids: np.ndarray

    @property
    def parts(self) -> int:
        return -(-self.dim // self.width)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (n, parts) uint8 -> (n, dim) float32."""
        out = np.empty((len(codes), self.dim), np.float32)
        for part in range(self.parts):
            width = self.last if part == self.parts - 1 else self.width
            start = part * self.width
            table = self.centroids[256 * start : 256 * (start + width)].reshape(256, width)
            out[:, start : start + width] = table[codes[:, part]]
        return out


@dataclass(frozen=True, slots=True)
class Quantized:
    """codes (rows, parts) uint8.   norms: (rows,) float32 that rows are multiplied by, or None."""

    codes: np.ndarray
    quantizer: Quantizer
    norms: np.ndarray | None

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.codes), self.quantizer.dim

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        values = self.quantizer.decode(self.codes[numbers])
        return values if self.norms is None else values * self.norms[numbers, None]
