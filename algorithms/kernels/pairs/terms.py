"""What the paths of this operation share: its terms and constants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

BITS = 32

LENGTHS = (4, 8, 12, 16, 20, 24)  # bits of the prefixes of an address

RATES = (1.0, 1.0, 1.0, 1 / 2, 1 / 8, 1 / 32)  # learning rates of the prefixes, as parts of the entities'

WIDEST = 18  # bits of a prefix table's index: longer prefixes are hashed

OFFSETS = tuple(sum(1 << min(length, WIDEST) for length in LENGTHS[:place]) for place in range(len(LENGTHS)))

PREFIXES = OFFSETS[-1] + (1 << min(LENGTHS[-1], WIDEST))  # rows of the prefix tables, which are one array

_SIGNS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32) * 2 - 1

# What the samples of a batch add up to.
SAMPLES, LOSS, RIGHT = range(3)

TALLIES = 3


@dataclass(frozen=True, slots=True)
class PairState:
    """What is learned, with Adam's moments, updated in place; d is `vector_dim`, up to whole cache lines.

    entities: (num_entity_vectors, 3, d) float32: a row's values, means and squares.
    prefixes: (PREFIXES, 3, d) float32, or (0, 3, d): addresses are known by their bits alone.
    dense:    (3, 32 + layers (d + 1), d) float32: A, then of each layer W (input by output) and c.
    """

    entities: Array
    prefixes: Array
    dense: Array

    @property
    def layers(self) -> int:
        count, width = self.dense.shape[1:]
        return int((count - BITS) // (width + 1))


@dataclass(frozen=True, slots=True)
class Groups:
    """u rows of a table that a batch touches, and the j addresses whose vectors add up to their gradients.

    rows:    (u,) int32, each once.   bounds: (u + 1,) int32, where each one's addresses begin.
    places:  (j,) int32, the addresses, by their number in the batch.
    rates:   (u,) float32, by which the step's rate is multiplied.
    """

    rows: Array
    bounds: Array
    places: Array
    rates: Array


@dataclass(frozen=True, slots=True)
class View:
    """A batch of n samples with m distinct addresses; samples are in the order of their addresses.

    addresses: (m,) int32, the 32 bits.   prefix_rows: (m, 6) int32, or (m, 0).
    bounds: (m + 1,) int32, where each address's samples begin.   rows: (n,) int32, entities' rows.
    labels: (n,) float32, 1 for an observed pair.   members: (n,) int32, samples in the order of `entities`.
    """

    addresses: Array
    prefix_rows: Array
    bounds: Array
    rows: Array
    labels: Array
    members: Array
    entities: Groups
    prefixes: Groups

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Step:
    """The numbers of one step of Adam; `rate` holds the correction of step t = 1, 2, ..."""

    rate: float
    decay: float
    rescale: float

    @classmethod
    def number(cls, t: int, rate: float, decay: float, rescale: float) -> Step:
        return cls(rate * math.sqrt(1 - BETA2**t) / (1 - BETA1**t), decay, rescale)


@dataclass(frozen=True, slots=True)
class Gradient:
    """outputs: (m, d), e of each address.   inputs: (m, d), the gradient of its e_0, or (0, d) without
    prefixes.   slopes: (n,) of the samples, in the order of `View.members`.
    dense: (32 + layers (d + 1), d).   tallies: (3,) float64."""

    outputs: Array
    inputs: Array
    slopes: Array
    dense: Array
    tallies: Array


class Encoder:
    """The dense part, for a batch. Without prefixes A and the first layer are one linear map of the bits:
    `map` (32, d) takes the place of the products with W_1, which has d rows."""

    def __init__(self, state: PairState) -> None:
        self._dense = state.dense[0]
        self._width = int(self._dense.shape[1])
        self._folded = state.layers > 0 and not len(state.prefixes)
        self._start = BITS  # of the layers that are left
        self.map = self._dense[:BITS]
        if self._folded:
            self._start += self._width + 1
            self.map = self.map @ self._dense[BITS : self._start - 1]

    def encode(self, first: Array) -> list[Array]:
        """From the mapped bits and the prefixes (m, d), which are overwritten, to e_0 or e_1, and on to the
        last e, each (m, d)."""
        if self._folded:
            first += self._dense[self._start - 1]
            if self._start < len(self._dense):
                first *= first > 0
        layers = [first]
        for at in range(self._start, len(self._dense), self._width + 1):
            end = at + self._width
            vectors = layers[-1] @ self._dense[at:end]
            vectors += self._dense[end]
            if end + 1 < len(self._dense):
                vectors *= vectors > 0
            layers.append(vectors)
        return layers

    def go_back(self, layers: list[Array], vectors: Array, gradients: Array) -> Array:
        """From the gradient (m, d) of the last of `encode` to that of what it was given, which is returned.
        Those of the layers in between are added to `gradients`, of the dense part's shape."""
        for layer in range(len(layers) - 1, 0, -1):
            at = self._start + (layer - 1) * (self._width + 1)
            end = at + self._width
            if layer < len(layers) - 1:
                vectors = vectors * (layers[layer] > 0)
            gradients[at:end] += layers[layer - 1].T @ vectors
            gradients[end] += vectors.sum(0)
            vectors = vectors @ self._dense[at:end].T
        if self._folded and len(layers) > 1:
            vectors = vectors * (layers[0] > 0)
        return vectors

    def unfold(self, of_map: Array, total: Array, gradients: Array) -> None:
        """Add the gradient of `map` (32, d) to those of A, and of the first layer where it stands for both;
        total: (d,), the sum of what `go_back` returned, which is the gradient of the bias."""
        if self._folded:
            layer = slice(BITS, self._start - 1)
            gradients[self._start - 1] += total
            gradients[layer] += self._dense[:BITS].T @ of_map
            of_map = of_map @ self._dense[layer].T
        gradients[:BITS] += of_map


def bits(addresses: Array) -> np.ndarray:
    """(m, 32) float32: the bits of addresses (m,) of 32 bits as +1 and -1, an octet at a time."""
    octets = addresses.astype(">u4").view(np.uint8)
    signs: np.ndarray = _SIGNS[octets].reshape(len(addresses), BITS)
    return signs
