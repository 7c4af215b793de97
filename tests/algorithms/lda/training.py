"""Documents of a grid of words, as AWS's notebook draws them, and short ways to find their topics."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.lda.hyperparameters import Hyperparameters
from optml.algorithms.lda.learner import Learner
from optml.algorithms.lda.model import Model
from optml.algorithms.sources import Source
from optml.container.group import Alone
from optml.formats.records import Records

SIZE = 5  # of the grid of words


def grid(topics: int = 10, documents: int = 6000, seed: int = 0) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """Counts (documents, 25), mixtures and topics: the first five are columns of the grid, then rows."""
    rng = np.random.default_rng(seed)
    beta = np.zeros((2 * SIZE, SIZE, SIZE))
    for place in range(SIZE):
        beta[place, :, place] = rng.dirichlet(np.full(SIZE, 100))
        beta[SIZE + place, place] = rng.dirichlet(np.full(SIZE, 100))
    chances = beta.reshape(2 * SIZE, -1)[:topics]
    theta = rng.dirichlet(np.full(topics, 1 / topics), documents)
    counts = rng.multinomial(rng.poisson(150, documents), theta @ chances)
    return csr_array(counts.astype(np.float32)), theta, chances


def learner(
    words: int,
    *,
    seed: int = 0,
    cluster: Cluster | None = None,
    auxiliary: Source | None = None,
    **hyperparameters: Any,
) -> Learner:
    settings = {"num_topics": 4, "mini_batch_size": 100} | hyperparameters
    channels = {"auxiliary": auxiliary} if auxiliary else {}
    return Learner(
        Setting(
            Hyperparameters(feature_dim=words, **settings),
            cluster or Alone(),
            seed=seed,
            auxiliary=channels,
        )
    )


def fit(counts: csr_array, *, size: int | None = None, **hyperparameters: Any) -> Model:
    """The model of documents that come in batches of `size`."""
    state = learner(counts.shape[1], **hyperparameters)
    size = size or counts.shape[0]
    for start in range(0, counts.shape[0], size):
        state.update(Records(counts[start : start + size]))
    model, _ = state.finish()
    return model


def matched(model: Model, beta: np.ndarray) -> np.ndarray:
    """The model's topics in the order of those of beta that they are nearest to."""
    distances = np.abs(beta[:, None] - model.beta[None]).sum(axis=2)
    _, order = linear_sum_assignment(distances)
    return np.asarray(order)
