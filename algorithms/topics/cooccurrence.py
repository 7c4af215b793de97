"""Which words occur together: a sample of the training documents, and what is counted in it at the end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from optml.algorithms.cluster import Cluster

MOST = 1 << 21  # words of documents that are kept, 8 MiB; of more, a random share of the documents is
CONTEXTS = 4096  # the most frequent words, by whose company a word is known
DIMENSIONS = 50  # of a word's vector, as AWS's embeddings have


class Sample:
    """Documents as sets of words, of one host. Each draws a number; kept are those below `share`, which is
    halved whenever more than `most` words are held."""

    def __init__(self, words: int, seed: int, rank: int, most: int = MOST) -> None:
        self.words = words
        self.share = 1.0
        self._most = most
        self._seed = seed, rank
        self._seen = 0  # batches
        self._sample = csr_array((0, words), dtype=bool)
        self._draws = np.empty(0)
        self._new: list[tuple[csr_array, np.ndarray]] = []
        self._more = 0  # words of the new ones

    def add(self, counts: csr_array) -> None:
        """Take a batch of documents (n, words)."""
        draws = np.random.default_rng((*self._seed, self._seen)).random(counts.shape[0])
        self._seen += 1
        self._new.append(self._below(counts.astype(bool), draws))
        self._more += len(self._new[-1][0].indices)
        if len(self._sample.indices) + self._more > self._most:
            self._join()
            while self._sample.nnz > self._most:
                self.share /= 2
                self._sample, self._draws = self._below(self._sample, self._draws)

    def matrix(self) -> csr_array:
        """(documents, words) bool."""
        self._join()
        return self._sample

    def _below(self, documents: csr_array, draws: np.ndarray) -> tuple[csr_array, np.ndarray]:
        if self.share == 1:
            return documents, draws
        rows = np.flatnonzero(draws < self.share)
        return documents[rows], draws[rows]

    def _join(self) -> None:
        parts = [(self._sample, self._draws), *self._new]
        bounds = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.indptr) for part, _ in parts)])
        indices = np.concatenate([part.indices for part, _ in parts])
        self._draws = np.concatenate([draws for _, draws in parts])
        self._sample = _sets(np.cumsum(bounds), indices, self.words)
        self._new, self._more = [], 0

    def state_dict(self) -> dict[str, np.ndarray]:
        documents = self.matrix()
        return {
            "bounds": documents.indptr.astype(np.int64),
            "words": documents.indices.astype(np.int32),
            "draws": self._draws,
            "progress": np.array([self._seen, self.share]),
        }

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        self._sample = _sets(np.array(state["bounds"]), np.array(state["words"]), self.words)
        self._draws, self._new, self._more = np.array(state["draws"]), [], 0
        documents, self.share = state["progress"].tolist()
        self._seen = int(documents)


def _sets(bounds: np.ndarray, words: np.ndarray, width: int) -> csr_array:
    return csr_array((np.ones(len(words), bool), words, bounds), shape=(len(bounds) - 1, width))


def joint(sample: Sample, groups: np.ndarray, cluster: Cluster) -> tuple[np.ndarray, float]:
    """Of words (K, n): in how many documents of all hosts' samples every two of a group occur (K, n, n), on
    the diagonal every one; and how many documents there are. Holds a collective."""
    columns = sample.matrix().tocsc().astype(np.float64)
    pairs = np.empty((*groups.shape, groups.shape[1]))
    for k, group in enumerate(groups):
        some = columns[:, group]
        pairs[k] = (some.T @ some).toarray()
    documents = np.array([float(columns.shape[0])])
    cluster.all_sum(pairs, documents)
    return pairs, float(documents[0])


def vectors(sample: Sample, words: np.ndarray, cluster: Cluster) -> np.ndarray:
    """Vectors (m, 50 or fewer) of words (m,): of the positive pointwise mutual information of a word with
    each of the most frequent words, over documents, the best approximation of rank 50 (truncated SVD; Levy
    and Goldberg, NIPS 2014). Holds collectives."""
    documents = sample.matrix().astype(np.float32)
    frequencies = np.bincount(documents.indices, minlength=sample.words).astype(np.float64)
    cluster.all_sum(frequencies)
    contexts = np.sort(np.argsort(-frequencies, kind="stable")[:CONTEXTS])
    rows = np.union1d(words, contexts)
    columns = documents.tocsc()
    right = columns[:, contexts].tocsr()
    information = np.empty((len(rows), len(contexts)), np.float32)
    for start in range(0, len(rows), 512):
        some = columns[:, rows[start : start + 512]]
        information[start : start + 512] = (some.T @ right).toarray()
    cluster.all_sum(information)
    information[np.searchsorted(rows, contexts), np.arange(len(contexts))] = 0  # a word with itself
    _positive_information(information)
    rank = min(DIMENSIONS, *information.shape)
    # svds takes neither few columns nor nothing but 0
    if 4 * rank >= min(information.shape) or not information.any():
        left, sizes, _ = np.linalg.svd(information, full_matrices=False)
        left, sizes = left[:, :rank], sizes[:rank]
    else:
        left, sizes, _ = svds(information, k=rank, v0=np.ones(min(information.shape), np.float32))
    chosen: np.ndarray = (left * np.sqrt(np.maximum(sizes, 0)))[np.searchsorted(rows, words)]
    return chosen


def _positive_information(counts: np.ndarray) -> None:
    """Counts become max(log(p_ij / (p_i p_j)), 0), in place."""
    total = counts.sum(dtype=np.float64)
    of_rows = counts.sum(axis=1, keepdims=True, dtype=np.float64)
    of_columns = counts.sum(axis=0, keepdims=True, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        counts *= (total / of_rows).astype(np.float32)
        counts /= of_columns.astype(np.float32)
        np.log(counts, out=counts)
    np.nan_to_num(counts, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    np.maximum(counts, 0, out=counts)
