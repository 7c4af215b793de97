"""Second-order factorization machines: scores, gradients, and Adam on the rows that a mini-batch touches.

S. Rendle, "Factorization Machines", ICDM 2010, in the linear-time form of lemma 3.1; with s = sum_i x_i v_i:

    score(x) = w0 + sum_i w_i x_i + pair(x),   pair(x) = (|s|^2 - sum_i x_i^2 |v_i|^2) / 2
    gradient:  d/dw0 = 1,  d/dw_i = x_i,  d/dv_i = x_i s - x_i^2 v_i

The slope of a row is its loss differentiated by its score: score - y for half the squared error,
sigmoid(score) - y for the log loss. A feature's row holds its k factors v_i, then its weight w_i: (k + 1,).

Adam as MXNet 1.3 computes it (D. P. Kingma, J. Ba, ICLR 2015), for a gradient G summed over a batch:

    g = clip(rescale G + decay w);  m = 0.9 m + 0.1 g;  v = 0.999 v + 0.001 g^2
    w <- w - rate sqrt(1 - 0.999^t) / (1 - 0.9^t) m / (sqrt(v) + epsilon)

"Lazily": rows that a sparse batch does not touch keep w, m and v, without decay; t counts all batches.

Sums run in float32, over batches in float64; scores are exact to about 2^-22 (|s|^2 + |x|^2 |v|^2).
NumPy arrays take the CPU path (`cpu.py`), CUDA tensors the Triton kernels
(`triton.py`); both are free of atomics, so the same batch gives the same bits. Dense batches are
matrix products on either.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optml.algorithms.kernels.factorized.terms import Array, FactorState, Forward, Step, View

# What the rows of a batch add up to, beside their gradient. LOSS: squared errors, or log losses; SECOND:
# absolute errors, or rows labelled right; HITS and POSITIVES: 2 * HITS / POSITIVES is F1.
ROWS, LOSS, SECOND, HITS, POSITIVES, SCORE, SCORE_SQUARED, PAIR, PAIR_SQUARED = range(9)


def score(state: FactorState, view: View, labels: Array, *, classifier: bool) -> Forward:
    """Score the rows of a view, its arrays where the state is; labels (n,) float32."""
    forward: Forward = _path(state).score(state, view, labels, classifier)
    return forward


def learn(state: FactorState, view: View, forward: Forward, step: Step) -> None:
    """Add up the gradient of each touched row and take Adam's step there, and for the bias."""
    _path(state).learn(state, view, forward, step)


def gradient(state: FactorState, view: View, forward: Forward) -> Array:
    """The gradients of the touched rows (u, k + 1) float32, to be added to those of other hosts."""
    return _path(state).gradient(state, view, forward)


def apply(state: FactorState, places: Array, gradients: Array, slope: Array, step: Step) -> None:
    """Adam's step on the rows at `places` (u,) int32 with their gradients (u, k + 1); `slope` (1,) float64
    is the gradient of the bias."""
    _path(state).apply(state, places, gradients, slope, step)


def score_dense(
    state: FactorState, features: Array, squares: Array, labels: Array, *, classifier: bool
) -> Forward:
    """Score dense rows and their squares (n, d), feature i at place i."""
    sums, scores, pairs = product(state.rows[: features.shape[1]], state.bias[0], features, squares)
    slopes, tallies = _path(state).judge(scores, pairs, labels, classifier)
    return Forward(sums, scores, slopes, tallies)


def product(rows: Array, bias: Array, features: Array, squares: Array) -> tuple[Array, Array, Array]:
    """s (n, k), scores (n,), pair terms (n,) of features (n, d) and rows (d, k + 1), in any precision."""
    product = features @ rows  # (n, k + 1)
    sums = product[:, :-1]
    lengths = (rows[:, :-1] * rows[:, :-1]).sum(1)  # (d,)
    pairs = 0.5 * ((sums * sums).sum(1) - squares @ lengths)
    return sums, product[:, -1] + pairs + bias, pairs


def gradient_dense(rows: Array, features: Array, squares: Array, sums: Array, slopes: Array) -> Array:
    """The gradients of all rows (d, k + 1), two products, of dense features (n, d)."""
    gradients = rows * 0
    products = sums * slopes[:, None]
    gradients[:, :-1] = features.T @ products - (squares.T @ slopes)[:, None] * rows[:, :-1]
    gradients[:, -1] = features.T @ slopes
    return gradients


def _path(state: FactorState) -> Any:
    if isinstance(state.rows, np.ndarray):
        from optml.algorithms.kernels.factorized import cpu as factorized_cpu

        return factorized_cpu
    from optml.algorithms.kernels.factorized import triton as factorized_triton

    return factorized_triton


def reference(
    rows: np.ndarray, bias: float, features: np.ndarray, labels: np.ndarray, *, classifier: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By the definition, pair by pair, for tests; rows (d, k + 1) and features (n, d) are float64.

    Returns scores (n,), pair terms (n,), slopes (n,) and the gradients of the rows (d, k + 1).
    """
    factors, weights = rows[:, :-1], rows[:, -1]
    products = factors @ factors.T  # <v_i, v_j>
    pairs = np.einsum("ni,nj,ij->n", features, features, np.triu(products, 1))
    scores = bias + features @ weights + pairs
    slopes = (1 / (1 + np.exp(-scores)) if classifier else scores) - labels
    together = np.einsum("n,ni,nj->ij", slopes, features, features)
    np.fill_diagonal(together, 0)
    return scores, pairs, slopes, np.column_stack([together @ factors, features.T @ slopes])
