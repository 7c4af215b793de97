"""One step of learning which addresses go with which entities: scores, gradients, Adam on touched rows.

    score(entity, address) = <v(entity), e(address)>,   the log odds of an observed pair against a made-up one
    e_0 = A bits(address) + sum_l P_l[prefix_l(address)]        bits are +1 or -1, the highest first
    e_i = W_i e_(i-1) + c_i, then max(., 0) of all but the last

The loss of a sample is log(1 + exp(-score)) for an observed pair and log(1 + exp(score)) for another; its
slope, differentiated by the score, is sigmoid(score) - label. Vectors v of entities and P of prefixes are
rows of two tables. Of a batch's G, summed over its samples, Adam (D. P. Kingma, J. Ba, ICLR 2015) makes

    g = rescale G + decay w;  m = 0.9 m + 0.1 g;  v = 0.999 v + 0.001 g^2
    w <- w - rate sqrt(1 - 0.999^t) / (1 - 0.9^t) m / (sqrt(v) + epsilon)

"lazily": rows that a batch does not touch keep w, m and v; t counts all batches. Adam's steps are as long for
a row that few samples touch as for any other, and most long prefixes are such: their rate is a part of the
others' (`RATES`), so that they tell what shorter ones leave over instead of learning single samples by heart.

An address that occurs in several samples is encoded once; `View` lists its samples one after the other, and
for each row of the tables what adds up to its gradient. So each row has one writer, without atomics, and the
same batch gives the same bits. NumPy arrays take the CPU path (`pair_step_cpu.py`), CUDA tensors the Triton
kernels (`pair_step_triton.py`). Both compute in float32; scores are exact to about 2^-22 |v| |e|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

BITS = 32
LENGTHS = (4, 8, 12, 16, 20, 24)  # of prefixes
RATES = (1.0, 1.0, 1.0, 1 / 2, 1 / 8, 1 / 32)  # of their learning, as parts of the entities'
SHORT = 8  # bits of prefixes so short that many random addresses share them with real ones
WIDEST = 18  # bits of a prefix table's index: longer prefixes are hashed
OFFSETS = tuple(sum(1 << min(length, WIDEST) for length in LENGTHS[:place]) for place in range(len(LENGTHS)))
PREFIXES = OFFSETS[-1] + (1 << min(LENGTHS[-1], WIDEST))  # rows of all tables, which are one

_SIGNS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32) * 2 - 1

# What the samples of a batch add up to.
SAMPLES, LOSS, RIGHT = range(3)
TALLIES = 3


@dataclass(frozen=True, slots=True)
class State:
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

    touched: (u,) int32, each row once.   bounds: (u + 1,) int32, where each one's addresses begin.
    places:  (j,) int32, the addresses, by their number in the batch.
    rates:   (u,) float32, by which the step's rate is multiplied.
    """

    touched: Array
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


def gradient(state: State, view: View) -> Gradient:
    """Score a batch; all that the gradients of the tables' rows are made of, and that of the dense part."""
    found: Gradient = _path(state).gradient(state, view)
    return found


def learn(state: State, view: View, found: Gradient, step: Step) -> None:
    """Adam's step on all that the batch touches."""
    path = _path(state)
    path.learn_rows(state.entities, view.entities, found.slopes, found.outputs, step)
    path.learn_rows(state.prefixes, view.prefixes, None, found.inputs, step)
    path.apply_dense(state.dense, found.dense, step)


def row_gradients(groups: Groups, slopes: Array, vectors: Array) -> Array:
    """The gradients (u, d) of touched rows, to be added to those of other hosts: sums of `vectors` (m, d),
    times `slopes` (j,) unless these are None."""
    return _path(vectors).row_gradients(groups, slopes, vectors)


def apply_rows(table: Array, touched: Array, rates: Array, gradients: Array, step: Step) -> None:
    """Adam's step on the rows `touched` (u,) of a table with their rates (u,) and gradients (u, d)."""
    _path(table).apply_rows(table, touched, rates, gradients, step)


def apply_dense(dense: Array, gradients: Array, step: Step) -> None:
    """Adam's step on the dense part."""
    _path(dense).apply_dense(dense, gradients, step)


def score(state: State, view: View) -> Array:
    """(n,) float32: the scores of the samples, in the order of the view."""
    return _path(state).score(state, view)


class Encoder:
    """The dense part, for a batch. Without prefixes A and the first layer are one linear map of the bits:
    `map` (32, d) takes the place of the products with W_1, which has d rows."""

    def __init__(self, state: State) -> None:
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
        found = [first]
        for at in range(self._start, len(self._dense), self._width + 1):
            end = at + self._width
            vectors = found[-1] @ self._dense[at:end]
            vectors += self._dense[end]
            if end + 1 < len(self._dense):
                vectors *= vectors > 0
            found.append(vectors)
        return found

    def go_back(self, found: list[Array], vectors: Array, gradients: Array) -> Array:
        """From the gradient (m, d) of the last of `encode` to that of what it was given, which is returned.
        Those of the layers in between are added to `gradients`, of the dense part's shape."""
        for layer in range(len(found) - 1, 0, -1):
            at = self._start + (layer - 1) * (self._width + 1)
            end = at + self._width
            if layer < len(found) - 1:
                vectors = vectors * (found[layer] > 0)
            gradients[at:end] += found[layer - 1].T @ vectors
            gradients[end] += vectors.sum(0)
            vectors = vectors @ self._dense[at:end].T
        if self._folded and len(found) > 1:
            vectors = vectors * (found[0] > 0)
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


def _path(of: Any) -> Any:
    array = of.entities if isinstance(of, State) else of
    if isinstance(array, np.ndarray):
        from algorithms.kernels import pair_step_cpu

        return pair_step_cpu
    from algorithms.kernels import pair_step_triton

    return pair_step_triton


def reference(
    entities: np.ndarray,
    prefixes: np.ndarray,
    dense: np.ndarray,
    rows: np.ndarray,
    addresses: np.ndarray,
    prefix_rows: np.ndarray,
    labels: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray, np.ndarray]:
    """By the definition, sample by sample, for tests; tables of values (rows, d) and all else in float64.

    Returns scores (n,), the sum of the losses, and its gradients by entities, prefixes and dense part.
    """
    width = entities.shape[1]
    by_entities, by_prefixes, by_dense = (np.zeros_like(a) for a in (entities, prefixes, dense))
    scores, loss = np.empty(len(rows)), 0.0
    layers = range(BITS, len(dense), width + 1)
    for i in range(len(rows)):
        signs = np.where((int(addresses[i]) >> np.arange(BITS - 1, -1, -1)) & 1, 1.0, -1.0)
        e = [signs @ dense[:BITS] + prefixes[prefix_rows[i]].sum(axis=0)]
        for at in layers:
            z = e[-1] @ dense[at : at + width] + dense[at + width]
            e.append(z if at == layers[-1] else np.maximum(z, 0))
        scores[i] = entities[rows[i]] @ e[-1]
        slope = 1 / (1 + math.exp(-scores[i])) - float(labels[i])
        loss += math.log1p(math.exp(-scores[i] if labels[i] else scores[i]))
        by_entities[rows[i]] += slope * e[-1]
        back = slope * entities[rows[i]]
        for layer in range(len(layers), 0, -1):
            at = layers[layer - 1]
            back = back if layer == len(layers) else back * (e[layer] > 0)
            by_dense[at : at + width] += np.outer(e[layer - 1], back)
            by_dense[at + width] += back
            back = dense[at : at + width] @ back
        by_dense[:BITS] += np.outer(signs, back)
        for row in prefix_rows[i]:
            by_prefixes[row] += back
    return scores, loss, by_entities, by_prefixes, by_dense
