"""Documents as mixtures of topics: EM for theta with the topics' words at hand, and what the words expect.

With x_dv counts, B (words, topics) the chance of word v in topic k, theta_d the mixture of document d and
p_dv = theta_d . B_v, a document of L_d words is updated `rounds` times by

    theta_dk <- (theta_dk sum_v x_dv B_vk / p_dv + prior_k) / (L_d + sum_k prior_k)        (`infer`)

the EM step to the mode under a Dirichlet prior of prior_k + 1, and the documents' expected counts are

    N_vk = B_vk sum_d x_dv theta_dk / p_dv                                                 (`gather`)

(Blei, Ng, Jordan, JMLR 3, 2003, section 5, with point estimates for the mixtures). Only words that occur are
visited: the cost is the number of entries times topics, and nothing of documents x words is ever made.

Tables of topics have rows of whole cache lines, with zeros beyond the last topic (`rows`). Sums are float32
within a document, float64 of likelihoods; results agree with the reference to 1e-4 of themselves. The same
input gives the same bits, whatever the threads.
"""

from __future__ import annotations

import numpy as np

from optml.algorithms.kernels.machine import simd
from optml.algorithms.kernels.mixtures.terms import TINY, Array, Documents

__all__ = ["Documents", "gather", "infer", "likelihoods", "reference_gather", "reference_infer", "rows"]


def rows(matrix: np.ndarray) -> np.ndarray:
    """A matrix (n, topics) as a float32 table (n, stride)."""
    table = simd.empty(*matrix.shape)
    table[:, : matrix.shape[1]] = matrix
    return table


def infer(
    documents: Documents, table: Array, theta: Array, prior: Array, rounds: int, tolerance: float = 0.0
) -> None:
    """Update theta (n, stride) in place, `rounds` times, or until no entry of a document changes by
    `tolerance`. table (words, stride): B.   prior (stride,): zeros beyond the last topic."""
    if isinstance(theta, np.ndarray):
        from optml.algorithms.kernels.mixtures import cpu

        cpu.infer(documents, table, theta, prior, rounds, tolerance)
    else:
        from optml.algorithms.kernels.mixtures import triton

        triton.infer(documents, table, theta, prior, rounds, tolerance)


def gather(documents: Documents, table: Array, theta: Array) -> Array:
    """N (words, stride), the expected counts."""
    if isinstance(theta, np.ndarray):
        from optml.algorithms.kernels.mixtures import cpu

        return cpu.gather(documents, table, theta)
    from optml.algorithms.kernels.mixtures import triton

    return triton.gather(documents, table, theta)


def likelihoods(documents: Documents, table: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """(n,) float64: sum_v x_dv log p_dv. Words of no topic have a chance of 1e-30."""
    from optml.algorithms.kernels.mixtures import cpu

    return cpu.likelihoods(documents, table, theta)


def reference_infer(
    counts: np.ndarray, words: np.ndarray, theta: np.ndarray, prior: np.ndarray, rounds: int
) -> np.ndarray:
    """theta (n, topics) by the definition, float64; counts (n, words) dense, words (words, topics)."""
    for _ in range(rounds):
        ratios = counts / np.maximum(theta @ words.T, TINY)
        lengths = counts.sum(axis=1, keepdims=True)
        theta = (theta * (ratios @ words) + prior) / np.maximum(lengths + prior.sum(), TINY)
    return theta


def reference_gather(counts: np.ndarray, words: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """N (words, topics) by the definition, float64."""
    expected: np.ndarray = words * ((counts / np.maximum(theta @ words.T, TINY)).T @ theta)
    return expected
