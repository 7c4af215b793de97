"""Problems of mixtures on odd sizes, for the kernels of both kinds of device."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

SHAPES = [(1, 1, 1), (7, 30, 3), (40, 50, 16), (300, 97, 33), (0, 9, 2)]  # documents, words, topics


def problem(documents: int, words: int, topics: int) -> tuple[csr_array, np.ndarray, np.ndarray, np.ndarray]:
    """Counts (documents, words) of which every fifth document is empty; chances (words, topics); theta;
    prior (topics,)."""
    rng = np.random.default_rng(documents + words + topics)
    dense = rng.poisson(0.3, (documents, words)).astype(np.float32)
    dense[::5] = 0
    chances = rng.dirichlet(np.ones(words), topics).T
    theta = rng.dirichlet(np.ones(topics), documents)
    return csr_array(dense), chances, theta, rng.uniform(0.05, 0.3, topics)
