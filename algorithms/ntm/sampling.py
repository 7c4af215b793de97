"""`sub_sample`: each epoch trains on a fresh random share of the documents, in batches as large as ever."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_array, vstack


class SubSample:
    """Draws documents and gathers them until they are `size`. Which are drawn depends on the seed, the host,
    the epoch and the batch alone, so a resumed job draws what it would have drawn."""

    def __init__(self, share: float, size: int, words: int, seed: tuple[int, int]) -> None:
        self.share = share
        self._size = size
        self._seed = seed
        self._batch = csr_array((0, words), dtype=np.float32)

    def draw(self, counts: csr_array, epoch: int, batch: int) -> csr_array | None:
        """Take a batch of at most `size` documents; returns the next one to train on, if it is full."""
        if self.share == 1:
            return counts
        draws = np.random.default_rng((*self._seed, epoch, batch)).random(counts.shape[0])
        self._batch = csr_array(
            vstack([self._batch, counts[np.flatnonzero(draws < self.share)]], format="csr")
        )
        if self._batch.shape[0] < self._size:
            return None
        full, self._batch = self._batch[: self._size], self._batch[self._size :]
        return full

    def rest(self) -> csr_array | None:
        """What is left at the end of an epoch."""
        rest, self._batch = self._batch, self._batch[:0]
        return rest if rest.shape[0] else None

    def state_dict(self) -> dict[str, np.ndarray]:
        documents = self._batch
        return {"bounds": documents.indptr, "words": documents.indices, "counts": documents.data}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        bounds, words, counts = (np.array(state[name]) for name in ("bounds", "words", "counts"))
        self._batch = csr_array((counts, words, bounds), shape=(len(bounds) - 1, self._batch.shape[1]))
