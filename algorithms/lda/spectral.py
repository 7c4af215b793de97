"""Topics by the method of moments: AWS's recipe."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from optml.algorithms.lda.decomposition import decompose
from optml.algorithms.lda.hyperparameters import Hyperparameters
from optml.algorithms.lda.moments import CLAMP, Whitened

log = logging.getLogger(__name__)

# Where EM goes on from the topics, further digits of the decomposition are worth nothing.
FEW, ROUGH = 50, 1e-4


@dataclass(frozen=True, slots=True)
class Estimate:
    """alpha (K,) of the Dirichlet prior, descending; beta (K, words), rows on the simplex; float64."""

    alpha: np.ndarray
    beta: np.ndarray


def estimate(whitened: Whitened, hyperparameters: Hyperparameters, seed: tuple[int, ...]) -> Estimate:
    """The topics of the largest weights among the components of moments, at most num_topics. With v a
    component of the whitened tensor of weight l,

        alpha = 4 a0 (a0 + 1) / ((a0 + 2)^2 l^2)      beta = (a0 + 2) / 2 l B v, projected onto the simplex
    """
    h, a0 = hyperparameters, hyperparameters.alpha0
    parts = decompose(
        whitened.tensor,
        restarts=h.max_restarts,
        iterations=min(h.max_iterations, FEW) if h.refine else h.max_iterations,
        tolerance=max(h.tol, ROUGH) if h.refine else h.tol,
        svd=h.allow_svd_init,
        seed=seed,
    )
    with np.errstate(divide="ignore"):
        alpha = 4 * a0 * (a0 + 1) / ((a0 + 2) ** 2 * np.square(parts.weights))
    alpha = np.where(np.isfinite(alpha), alpha, 0)
    beta = ((a0 + 2) / 2 * parts.weights * (whitened.back @ parts.vectors)).T
    beta *= np.where(beta.sum(axis=1, keepdims=True) < 0, -1, 1)
    order = np.argsort(-alpha, kind="stable")[: h.num_topics]
    return Estimate(alpha[order], project(beta[order]))


def warn_of_support(whitened: Whitened, hyperparameters: Hyperparameters) -> None:
    """Where the documents tell fewer topics apart than are asked for."""
    h = hyperparameters
    usable = int((whitened.eigenvalues > CLAMP).sum())
    if usable < h.num_topics:
        log.warning(
            "The documents support %d topics, %d are asked for: the others %s; lower num_topics or give more "
            "documents",
            usable, h.num_topics, "begin at single documents" if h.refine else "have no meaning",
        )  # fmt: skip


def project(rows: np.ndarray) -> np.ndarray:
    """The nearest points of the simplex. Held, Wolfe, Crowder, "Validation of Subgradient Optimization",
    Mathematical Programming 6, 1974."""
    ordered = np.sort(rows, axis=1)[:, ::-1]
    excess = (np.cumsum(ordered, axis=1) - 1) / np.arange(1, rows.shape[1] + 1)
    last = (ordered > excess).sum(axis=1) - 1
    level = excess[np.arange(len(rows)), last.clip(min=0)]
    points: np.ndarray = (rows - level[:, None]).clip(min=0)
    points /= points.sum(axis=1, keepdims=True)
    return points
