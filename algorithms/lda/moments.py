"""The moments of documents that tell of topics, without a matrix of words x words.

With counts x_d of L_d words, D documents and a0 the sum of the prior,

    m1 = mean x_d / L_d
    M2 = mean (x_d x_d^T - diag x_d) / (L_d (L_d - 1)) - a0/(a0+1) m1 m1^T
    M3 = the same of three words, less what the prior explains

(Anandkumar, Ge, Hsu, Kakade, Telgarsky, "Tensor Decompositions for Learning Latent Variable Models", JMLR 15,
2014, section 3.2). M2 is applied to blocks of vectors; M3 is only ever formed in the k dimensions that M2
leaves: T = M3(W, W, W) with W^T M2 W = I.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

log = logging.getLogger(__name__)

LEAST = 3  # words of a document that has a triple of them
EXACT = 256  # words up to which M2 is formed
SPARE = 10  # directions beyond those wanted, in a step of Krylov's
STEPS = 7
KRYLOV = 256 << 20  # bytes that the blocks of all steps may take
BLOCK = 1 << 22  # numbers of a block of documents in k dimensions
CLAMP = 1e-12  # eigenvalues are no smaller
TABLES = 8  # of words x k float64 besides: directions, their products, what they stand for, topics
ROUNDING = 1e-13  # share of the largest eigenvalue of a Gram matrix


@dataclass(frozen=True, slots=True)
class Whitened:
    """T (k, k, k) symmetric; back (words, k): what of the words a direction of T stands for; eigenvalues
    (k,) of M2, the largest first, before they were clamped."""

    tensor: np.ndarray
    back: np.ndarray
    eigenvalues: np.ndarray

    def leading(self, k: int) -> Whitened:
        """In the first k of its directions."""
        return Whitened(self.tensor[:k, :k, :k], self.back[:, :k], self.eigenvalues[:k])


class Moments:
    """Of documents (n, words), of which those of fewer than three words are left out."""

    def __init__(self, counts: csr_array, alpha0: float) -> None:
        lengths = np.asarray(counts.sum(axis=1, dtype=np.float64)).reshape(-1)
        long = lengths >= LEAST
        self.counts = counts if long.all() else csr_array(counts[np.flatnonzero(long)])
        self.lengths = lengths[long]
        self.alpha0 = alpha0
        self.words = counts.shape[1]
        n = len(self.lengths)
        self.pairs = 1 / (n * self.lengths * (self.lengths - 1))
        self.triples = self.pairs / (self.lengths - 2).clip(min=1)
        self.mean = self.counts.T @ (1 / (n * self.lengths))
        self.diagonal = self.counts.T @ self.pairs

    def __len__(self) -> int:
        return len(self.lengths)

    def second(self, vectors: np.ndarray) -> np.ndarray:
        """M2 times vectors (words, m)."""
        product: np.ndarray = -self.diagonal[:, None] * vectors
        product -= self.alpha0 / (self.alpha0 + 1) * np.outer(self.mean, self.mean @ vectors)
        for counts, rows in self._blocks(vectors.shape[1]):
            product += counts.T @ (self.pairs[rows, None] * (counts @ vectors))
        return product

    def whiten(self, k: int, seed: tuple[int, ...]) -> Whitened:
        """The third moment in the k leading directions of M2, float64."""
        values, vectors = self._leading(k, seed)
        clamped = values.clip(min=CLAMP)
        whitening, back = vectors / np.sqrt(clamped), vectors * np.sqrt(clamped)
        return Whitened(self._third(whitening), back, values)

    def _leading(self, k: int, seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Of M2, the k largest eigenvalues, descending, and their vectors (words, k). Of many words by block
        Krylov iteration: Musco and Musco, NIPS 2015."""
        if self.words <= EXACT:
            basis = np.eye(self.words)
        else:
            width = min(k + SPARE, self.words)
            log.info("Number of iterations: %d", SPARE)
            log.info("Seed of random SVD : %s", seed)
            block = np.random.default_rng(seed).normal(size=(self.words, width))
            depth = max(1, min(STEPS, KRYLOV // (8 * self.words * width), self.words // width))
            blocks: list[np.ndarray] = []
            for step in range(STEPS):
                log.info("Krylov method iteration: %d.", step)
                block = orthonormal(self.second(block))
                blocks = [*blocks, block][-depth:]
            basis = orthonormal(np.concatenate(blocks, axis=1))
        small = basis.T @ self.second(basis)
        log.info("Covariance matrix min value: %f", small.min())
        log.info("Covariance matrix max value: %f", small.max())
        log.info("Starting SVD...")
        values, vectors = np.linalg.eigh((small + small.T) / 2)
        log.info("Finished SVD.")
        vectors = basis @ vectors[:, ::-1][:, :k]
        values = values[::-1][:k]
        largest = np.abs(vectors).argmax(axis=0)
        vectors *= np.copysign(
            1, vectors[largest, np.arange(len(values))]
        )  # signs must not depend on the library
        return values, vectors

    def _third(self, whitening: np.ndarray) -> np.ndarray:
        """T (k, k, k)."""
        k, a0 = whitening.shape[1], self.alpha0
        tensor = np.zeros((k, k, k))
        contexts = np.zeros((self.words, k))
        square = -(whitening.T * self.diagonal) @ whitening  # W^T E2 W
        singles = self.counts.T @ self.triples
        for counts, rows in self._blocks(k):
            mixed = counts @ whitening
            _add_cubes(tensor, mixed, self.triples[rows])
            contexts += counts.T @ (self.triples[rows, None] * mixed)
            square += (mixed.T * self.pairs[rows]) @ mixed
        _add_cubes(tensor, whitening, 2 * singles)
        _mirror(tensor)
        twice = np.stack([(whitening.T * column) @ contexts for column in whitening.T])  # (k, k, k)
        mean = whitening.T @ self.mean
        twice += a0 / (a0 + 2) * square[:, :, None] * mean
        tensor -= twice + twice.transpose(0, 2, 1) + twice.transpose(2, 0, 1)
        cube = mean[:, None, None] * mean[:, None] * mean
        tensor += 2 * a0**2 / ((a0 + 1) * (a0 + 2)) * cube
        return tensor

    def _blocks(self, width: int) -> Iterator[tuple[csr_array, slice]]:
        size = max(1, BLOCK // width)
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            yield self.counts[rows], rows


def needed(words: int, k: int) -> int:
    """Bytes that the k leading directions of so many words take, while they are sought and used."""
    blocks = min(8 * words * STEPS * (k + SPARE), KRYLOV) if words > EXACT else 8 * words**2
    return 4 * blocks + 8 * TABLES * words * k


def orthonormal(vectors: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the columns of vectors (words, m), by their small Gram matrix, twice: of many
    words a tenth of the cost of a QR decomposition. What is rounding alone is left out."""
    for _ in range(2):
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=0), np.finfo(float).tiny)
        values, directions = np.linalg.eigh(vectors.T @ vectors)
        real = values > ROUNDING * values[-1]
        vectors = vectors @ (directions[:, real] / np.sqrt(values[real]))
    return vectors


def _add_cubes(tensor: np.ndarray, vectors: np.ndarray, weights: np.ndarray) -> None:
    """Add sum_n w_n v_n v_n v_n at the entries (i, j, l) with j, l >= i, a third of all."""
    for i, column in enumerate(vectors.T):
        rest = vectors[:, i:]
        tensor[i, i:, i:] += (rest.T * (weights * column)) @ rest


def _mirror(tensor: np.ndarray) -> None:
    for i in range(len(tensor)):
        face = tensor[i, i:, i:]
        tensor[i:, i, i:] = face
        tensor[i:, i:, i] = face
