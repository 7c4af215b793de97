"""Moments and their decomposition against the definitions, written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from optml.algorithms.lda import moments
from optml.algorithms.lda.decomposition import decompose
from optml.algorithms.lda.moments import Moments
from optml.algorithms.lda.spectral import project

A0 = 0.7


def documents(n: int = 60, words: int = 9) -> csr_array:
    rng = np.random.default_rng(0)
    return csr_array(rng.poisson(1.0, (n, words)).astype(np.float32))


def written_out(counts: csr_array) -> tuple[np.ndarray, np.ndarray]:
    """M2 and M3, by all pairs and triples of different words of each document."""
    first, second, third = (np.zeros((counts.shape[1],) * order) for order in (1, 2, 3))
    used = [row for row in counts.toarray().astype(np.float64) if row.sum() >= 3]
    for x in used:
        length, eye = x.sum(), np.diag(x)
        first += x / length / len(used)
        second += (np.outer(x, x) - eye) / (length * (length - 1)) / len(used)
        cube = np.einsum("i,j,k->ijk", x, x, x)
        pairs = np.einsum("ij,k->ijk", eye, x)
        cube -= pairs + pairs.transpose(0, 2, 1) + pairs.transpose(2, 0, 1)
        cube[np.arange(len(x)), np.arange(len(x)), np.arange(len(x))] += 2 * x
        third += cube / (length * (length - 1) * (length - 2)) / len(used)
    mixed = np.einsum("ij,k->ijk", second, first)
    third -= A0 / (A0 + 2) * (mixed + mixed.transpose(0, 2, 1) + mixed.transpose(2, 0, 1))
    third += 2 * A0**2 / ((A0 + 1) * (A0 + 2)) * np.einsum("i,j,k->ijk", first, first, first)
    return second - A0 / (A0 + 1) * np.outer(first, first), third


def test_moments_are_those_of_all_pairs_and_triples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "BLOCK", 30)  # several blocks
    counts = documents()
    second, third = written_out(counts)
    own = Moments(counts, A0)
    np.testing.assert_allclose(own.second(np.eye(9)), second, atol=1e-12)
    whitened = own.whiten(4, (0,))
    values, _ = np.linalg.eigh(second)
    np.testing.assert_allclose(whitened.eigenvalues, values[::-1][:4], atol=1e-12)
    whitening = whitened.back / whitened.eigenvalues.clip(min=moments.CLAMP)
    expected = np.einsum("ijk,ia,jb,kc->abc", third, whitening, whitening, whitening, optimize=True)
    np.testing.assert_allclose(whitened.tensor, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_krylov_finds_the_leading_directions_of_many_words(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = documents(400, 60)
    exact = Moments(counts, A0).whiten(5, (0,)).eigenvalues
    monkeypatch.setattr(moments, "EXACT", 10)
    np.testing.assert_allclose(Moments(counts, A0).whiten(5, (0,)).eigenvalues, exact, rtol=1e-6)


def test_a_sum_of_cubes_is_taken_apart() -> None:
    rng = np.random.default_rng(0)
    vectors, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    weights = rng.uniform(1, 3, 6)
    tensor = np.einsum("r,ir,jr,kr->ijk", weights, vectors, vectors, vectors)
    parts = decompose(tensor, restarts=4, iterations=100, tolerance=1e-10, svd=True, seed=(0,))
    assert parts.error < 1e-6
    np.testing.assert_allclose(np.sort(parts.weights), np.sort(weights), rtol=1e-6)
    np.testing.assert_allclose(np.abs(parts.vectors.T @ vectors).max(axis=1), 1, rtol=1e-6)


def test_nothing_has_no_components() -> None:
    parts = decompose(np.zeros((3, 3, 3)), restarts=2, iterations=10, tolerance=1e-8, svd=True, seed=(0,))
    assert not parts.weights.any()


def test_projections_are_the_nearest_points_of_the_simplex() -> None:
    rows = np.array([[0.2, 0.3, 0.5], [2.0, 0.0, 0.0], [0.6, 0.6, -1.0], [-1.0, -1.0, -1.0]])
    expected = [[0.2, 0.3, 0.5], [1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(project(rows), expected, atol=1e-12)
