"""Batches of documents as bags of words, and the two operations of a neural topic model that know of words.

    embedded_d   = sum_v x_dv W_v                              a sum of rows, one per distinct word
    likelihood_d = sum_v x_dv log softmax(z_d . W_v + b)_v     a matrix product and a softmax over all words

Neither makes the batch dense, nor stores more of the (documents, words) scores than a block of words: of the
softmax only its logarithmic normalizer is kept, and the gradient computes each block once more.

`autograd.py` has both as differentiable functions; of NumPy arrays the sums are `cpu.py`'s, of CUDA
tensors all is `triton.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_array

Array: TypeAlias = Any  # np.ndarray, or a torch tensor on a CUDA device


@dataclass(frozen=True, slots=True)
class Table:
    """n sums of weighted rows: sum i is that of values[e] * row places[e], bounds[i] <= e < bounds[i + 1].

    bounds (n + 1,) and places (e,) int32, values (e,) float32.
    """

    bounds: Array
    places: Array
    values: Array

    def __len__(self) -> int:
        return len(self.bounds) - 1


@dataclass(frozen=True, slots=True)
class Bags:
    """A batch of n documents over a vocabulary of `words`.

    documents: by document, its words and counts.
    columns:   by word that occurs, the documents and its counts in them; `word_ids` (u,) int64 says which
               words these are, in ascending order.
    lengths:   (n,) float32, the sums of the counts.
    """

    words: int
    documents: Table
    columns: Table
    word_ids: Array
    lengths: Array

    def __len__(self) -> int:
        return len(self.documents)

    @classmethod
    def of(cls, counts: csr_array) -> Bags:
        """From counts (n, words) float32."""
        columns = counts.tocsc()
        entries = np.diff(columns.indptr)
        word_ids = np.flatnonzero(entries)
        bounds = np.append(columns.indptr[word_ids], columns.indptr[-1])
        lengths = np.asarray(counts.sum(axis=1), np.float32).reshape(-1)
        return cls(
            counts.shape[1],
            _table(counts.indptr, counts.indices, counts.data),
            _table(bounds, columns.indices, columns.data),
            word_ids,
            lengths,
        )

    def to(self, device: str) -> Bags:
        """The same on a CUDA device."""
        import torch

        def put(array: np.ndarray) -> Any:
            return torch.from_numpy(array).to(device, non_blocking=True)

        def table(source: Table) -> Table:
            return Table(put(source.bounds), put(source.places), put(source.values))

        documents, columns = table(self.documents), table(self.columns)
        return Bags(self.words, documents, columns, put(self.word_ids), put(self.lengths))


def _table(bounds: np.ndarray, places: np.ndarray, values: np.ndarray) -> Table:
    return Table(
        np.ascontiguousarray(bounds, np.int32),
        np.ascontiguousarray(places, np.int32),
        np.ascontiguousarray(values, np.float32),
    )


def reference_likelihoods(
    counts: np.ndarray, latent: np.ndarray, weight: np.ndarray, bias: np.ndarray, slopes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The likelihoods (n,) by their definition, and the gradients of slopes . likelihoods with respect to
    latent (n, k), weight (v, k) and bias (v,); all float64, counts (n, v) dense."""
    scores = latent @ weight.T + bias
    scores -= scores.max(axis=1, keepdims=True)
    logarithms = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    residuals = counts - counts.sum(axis=1, keepdims=True) * np.exp(logarithms)
    residuals *= slopes[:, None]
    likelihoods: np.ndarray = (counts * logarithms).sum(axis=1)
    return likelihoods, residuals @ weight, residuals.T @ latent, residuals.sum(axis=0)
