"""The bars of the specification that need no data from outside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

pytest.importorskip("torch")

from optml.formats.records import Records
from tests.algorithms.ntm.training import absorb, learner


def griffiths(n: int, topics: int = 5, side: int = 5, seed: int = 0) -> tuple[csr_array, np.ndarray]:
    """Documents over a grid of words whose topics are its columns (Griffiths and Steyvers, PNAS 101, 2004):
    mixtures of Dirichlet(1 / topics), Poisson(150) words."""
    rng = np.random.default_rng(seed)
    grid = np.zeros((topics, side, side))
    for k in range(topics):
        grid[k, :, k] = rng.dirichlet(np.full(side, 100.0))
    mixtures = rng.dirichlet(np.full(topics, 1 / topics), n)
    chances = mixtures @ grid.reshape(topics, -1)
    counts = rng.multinomial(rng.poisson(150, n), chances / chances.sum(axis=1, keepdims=True))
    return csr_array(counts.astype(np.float32)), mixtures


@pytest.mark.slow
def test_the_topics_of_a_grid_are_found() -> None:
    """With batch_norm: without, two topics may come to share one number of the latent vector."""
    counts, mixtures = griffiths(4000)
    state = learner(25, num_topics=5, mini_batch_size=256, batch_norm=True)
    absorb(state, counts, 15)
    weights = state.finish()[0].predict(Records(counts), {})["topic_weights"]
    found = np.abs(np.corrcoef(mixtures.T, weights.T)[:5, 5:]).max(axis=1)
    assert found.min() >= 0.8, found
