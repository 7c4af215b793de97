"""Random projections to fewer dimensions that keep squared distances and inner products on average.

    sign:  y = x R / sqrt(t),              R of d x t random signs; D. Achlioptas, "Database-friendly random
           projections", JCSS 66 (2003)
    fjlt:  y = sqrt(p / t) S H D x,        D random signs, H the normalised Walsh-Hadamard matrix of the next
           power of two p (x padded with zeros), S a choice of t coordinates; N. Ailon and B. Chazelle, "The
           fast Johnson-Lindenstrauss transform", SIAM J. Comput. 39 (2009), as subsampled by J. Tropp (2011)

Neither matrix is stored: a model holds the seed, from which the raw numbers of Philox give the same signs and
coordinates on every machine and for every version of NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.random import Philox

from optml.errors import UserError

RNG = "numpy.random.Philox(key=seed).random_raw"
RADIX = 64  # of the transform: a product with a matrix of that size is worth six rounds of butterflies
VALUES = 1 << 22  # of a block of rows under way


@dataclass(frozen=True)
class Reduction:
    """From `input_dim` features to `target_dim`. Raises UserError for a target that fjlt cannot reach."""

    kind: Literal["sign", "fjlt"]
    seed: int
    target_dim: int
    input_dim: int

    def __post_init__(self) -> None:
        if self.kind == "fjlt" and self.target_dim > self._padded_width:
            raise UserError(
                f"fjlt turns {self.input_dim} features into at most {self._padded_width}, but "
                f"{self.target_dim} are asked for (dimension_reduction_target, raised to a multiple of "
                "faiss_index_pq_m): lower faiss_index_pq_m, or take dimension_reduction_type=sign"
            )

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, input_dim) float32 -> (n, target_dim) float32."""
        if self.kind == "sign":
            product: np.ndarray = rows @ self._matrix
            return product
        outputs = np.empty((len(rows), self.target_dim), np.float32)
        height = max(1, VALUES // self._padded_width)
        for start in range(0, len(rows), height):
            block = rows[start : start + height]
            inputs = np.zeros((len(block), self._padded_width), np.float32)
            np.multiply(block, self._signs, out=inputs[:, : self.input_dim])
            outputs[start : start + height] = hadamard(inputs)[:, self._coordinates]
        outputs *= np.float32(self.target_dim**-0.5)
        return outputs

    @property
    def _padded_width(self) -> int:
        return 1 << (self.input_dim - 1).bit_length()

    @cached_property
    def _matrix(self) -> np.ndarray:
        """R / sqrt(t), (d, t)."""
        size = self.input_dim * self.target_dim
        matrix = _signs(Philox(key=self.seed), size).reshape(self.input_dim, self.target_dim)
        matrix *= np.float32(self.target_dim**-0.5)
        return matrix

    @cached_property
    def _signs(self) -> np.ndarray:
        return _signs(Philox(key=self.seed), self._padded_width)[: self.input_dim]

    @cached_property
    def _coordinates(self) -> np.ndarray:
        """The places of the t smallest of p raw numbers, drawn after the signs."""
        generator = Philox(key=self.seed)
        _signs(generator, self._padded_width)
        return np.sort(np.argsort(generator.random_raw(self._padded_width), kind="stable")[: self.target_dim])


def hadamard(rows: np.ndarray) -> np.ndarray:
    """The Walsh-Hadamard transform, not normalised, of rows (n, p), p a power of two."""
    count, width = rows.shape
    stride = 1
    while stride < width:
        radix = min(RADIX, width // stride)
        blocks = rows.reshape(count * width // (radix * stride), radix, stride)
        rows = np.matmul(_sylvester(radix), blocks) if stride > 1 else blocks[:, :, 0] @ _sylvester(radix)
        stride *= radix
    return rows.reshape(count, width)


def _sylvester(order: int) -> np.ndarray:
    """The symmetric Hadamard matrix of Sylvester, (order, order) float32."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _signs(generator: Philox, count: int) -> np.ndarray:
    """-1 and 1, float32, from the bits of raw numbers, the lowest first."""
    raw: np.ndarray = generator.random_raw(-(-count // 64))
    bits = np.unpackbits(raw.astype("<u8").view(np.uint8), bitorder="little")[:count]
    return bits.astype(np.float32) * 2 - 1
