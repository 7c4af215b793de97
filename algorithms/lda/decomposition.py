"""A symmetric tensor as a sum of k products of three vectors, by alternating least squares.

Kolda and Bader, "Tensor Decompositions and Applications", SIAM Review 51(3), 2009, section 3.4; all restarts
are one batched problem.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

log = logging.getLogger(__name__)

POWERS = 5  # orthogonal iterations before least squares, which AWS's log calls QR iterations
ROOM = 1 << 23  # numbers of a product of all restarts that are made at a time


@dataclass(frozen=True, slots=True)
class Decomposition:
    """vectors (k, components) of unit length, weights (components,) = T(v, v, v) > 0, error |T - sum| / |T|
    of the least squares."""

    vectors: np.ndarray
    weights: np.ndarray
    error: float


def decompose(
    tensor: np.ndarray, *, restarts: int, iterations: int, tolerance: float, svd: bool, seed: tuple[int, ...]
) -> Decomposition:
    """The best of all restarts. Of equal errors the first one."""
    k = len(tensor)
    norm = float(np.linalg.norm(tensor))
    if norm == 0:
        return Decomposition(np.eye(k), np.zeros(k), 0.0)
    starts = _starts(tensor, restarts, svd=svd, seed=seed)
    factors = np.stack([starts] * 3)  # (3, restarts, k, k)
    errors = np.full(restarts, np.inf)
    taken = np.zeros(restarts, int)
    active = np.arange(restarts)
    before = factors.copy()
    for number in range(1, iterations + 1):
        now = factors[:, active]
        if number > 2:  # line search: on along the last step, where that lowers the error
            ahead = now + (now - before[:, active]) * number ** (1 / 3)
            better = _errors(tensor, norm, ahead) < errors[active]
            now = np.where(better[:, None, None], ahead, now)
        before[:, active] = factors[:, active]
        product = now[0]
        for mode in range(3):
            one, two = (now[other] for other in range(3) if other != mode)
            product = _products(tensor, one, two)
            gram = (one.transpose(0, 2, 1) @ one) * (two.transpose(0, 2, 1) @ two)
            now[mode] = product @ np.linalg.pinv(gram, hermitian=True)
            _balance(now)
        after = _errors(tensor, norm, now)
        factors[:, active] = now
        change = np.abs(errors[active] - after)
        errors[active] = after
        taken[active] = number
        active = active[change >= tolerance]
        if not len(active):
            break
    _tell(errors, taken, svd=svd)
    best = int(np.argmin(errors))
    vectors = factors[2, best]
    lengths = np.linalg.norm(vectors, axis=0)
    vectors = vectors / np.where(lengths > 0, lengths, 1)
    weights = np.einsum("ijl,ir,jr,lr->r", tensor, vectors, vectors, vectors, optimize=True)
    return Decomposition(vectors * np.copysign(1, weights), np.abs(weights), float(errors[best]))


def _starts(tensor: np.ndarray, restarts: int, *, svd: bool, seed: tuple[int, ...]) -> np.ndarray:
    """(restarts, k, k): two of singular vectors, the second as they are; the rest orthonormal at random."""
    k = len(tensor)
    rng = np.random.default_rng(seed)
    starts = np.linalg.qr(rng.normal(size=(restarts, k, k)))[0]
    if svd:
        starts[:2] = np.linalg.svd(tensor.reshape(k, -1), full_matrices=False)[0]
    powered = np.array([number for number in range(restarts) if not (svd and number == 1)])
    for _ in range(POWERS):
        turned = _products(tensor, starts[powered], starts[powered])
        starts[powered] = np.linalg.qr(turned)[0]
    return starts


def _products(tensor: np.ndarray, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(restarts, k, r): sum_jl T_ijl one_jr two_lr, the unfolding times the Khatri-Rao product."""
    restarts, k, r = one.shape
    products = np.empty((restarts, k, r))
    flat = tensor.reshape(k * k, k)
    size = max(1, ROOM // (k * k * r))
    for start in range(0, restarts, size):
        run = slice(start, start + size)
        some = np.ascontiguousarray(two[run].transpose(1, 0, 2))  # (k, s, r)
        inner = (flat @ some.reshape(k, -1)).reshape(k, k, -1, r)
        products[run] = np.einsum("ijsr,sjr->sir", inner, one[run])
    return products


def _errors(tensor: np.ndarray, norm: float, factors: np.ndarray) -> np.ndarray:
    """|T - sum| / |T| of each restart."""
    one, two, three = factors
    inner = (_products(tensor, one, two) * three).sum(axis=(1, 2))
    grams = np.ones(1)
    for factor in factors:
        grams = grams * (factor.transpose(0, 2, 1) @ factor)
    squares = norm**2 - 2 * inner + grams.sum(axis=(1, 2))
    errors: np.ndarray = np.sqrt(squares.clip(min=0)) / norm
    return errors


def _balance(factors: np.ndarray) -> None:
    """Columns of the three factors become equally long, their product stays."""
    lengths = np.linalg.norm(factors, axis=2, keepdims=True)  # (3, restarts, 1, r)
    common = np.cbrt(lengths.prod(axis=0))
    factors *= common / np.where(lengths > 0, lengths, 1)


def _tell(errors: np.ndarray, taken: np.ndarray, *, svd: bool) -> None:
    for number, (error, iterations) in enumerate(zip(errors.tolist(), taken.tolist(), strict=True)):
        log.info("Restart %d/%d", number + 1, len(errors))
        log.info("[CPDecomp] Starting CPDecomp...")
        powers = 0 if svd and number == 1 else POWERS
        log.info(
            "[CPDecomp] Configuration: num_qr_iterations=%d, line_search=True, relaxation_factor=scaled",
            powers,
        )
        log.info("[CPDecomp] Using %s initialization.", "svd" if svd and number < 2 else "random")
        log.info("[CPDecomp] iter=%d, error=%.12f, var=0.0", iterations, error)
        log.info("Converged to local minimum in %d iterations.", iterations)
    log.info("Best reconstruction error: %.8f", errors.min())
