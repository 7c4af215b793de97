"""Documents of planted topics."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array


def documents(
    n: int = 300, words: int = 60, topics: int = 4, *, length: int = 40, seed: int = 0
) -> tuple[csr_array, np.ndarray]:
    """Counts (n, words) and mixtures (n, topics): each topic has its own run of words, a document one or two
    topics."""
    rng = np.random.default_rng(seed)
    mixtures = rng.dirichlet(np.full(topics, 0.1), n)
    of_topics = np.kron(np.eye(topics), np.full(words // topics, topics / words))
    chances = mixtures @ of_topics
    counts = rng.multinomial(length, chances / chances.sum(axis=1, keepdims=True))
    return csr_array(counts.astype(np.float32)), mixtures
