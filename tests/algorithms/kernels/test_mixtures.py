"""Mixtures of topics on a CPU against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels import mixtures
from optml.algorithms.kernels.machine import threads
from optml.algorithms.kernels.mixtures import Documents
from tests.algorithms.kernels import mixtures_agreement as agreement


@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_mixtures_agree_with_their_definition(shape: tuple[int, int, int]) -> None:
    counts, words, theta, prior = agreement.problem(*shape)
    k = shape[2]
    mine, table = mixtures.rows(theta), mixtures.rows(words)
    documents = Documents.of(counts)
    mixtures.infer(documents, table, mine, mixtures.rows(prior[None])[0], 5)
    dense = counts.toarray().astype(np.float64)
    expected = mixtures.reference_infer(dense, words, theta, prior, 5)
    np.testing.assert_allclose(mine[:, :k], expected, rtol=1e-4, atol=1e-7)
    assert not mine[:, k:].any()
    gathered = mixtures.gather(documents, table, mine)
    np.testing.assert_allclose(
        gathered[:, :k], mixtures.reference_gather(dense, words, expected), rtol=2e-4, atol=1e-6
    )
    chances = (dense * np.log(np.maximum(expected @ words.T, 1e-30))).sum(axis=1)
    np.testing.assert_allclose(mixtures.likelihoods(documents, table, mine), chances, rtol=1e-4, atol=1e-6)


def test_a_document_that_has_settled_is_left_alone() -> None:
    counts, words, theta, prior = agreement.problem(40, 30, 5)
    documents, table = Documents.of(counts), mixtures.rows(words)
    padded = mixtures.rows(prior[None])[0]
    once, often = mixtures.rows(theta), mixtures.rows(theta)
    mixtures.infer(documents, table, once, padded, 1)
    mixtures.infer(documents, table, often, padded, 50, tolerance=2.0)  # no change is as large
    np.testing.assert_array_equal(once, often)


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, words, theta, prior = agreement.problem(3000, 400, 20)
    documents, table = Documents.of(counts), mixtures.rows(words)
    answers = []
    for number in (1, 3):
        monkeypatch.setattr(threads, "count", lambda number=number: number)
        mine = mixtures.rows(theta)
        mixtures.infer(documents, table, mine, mixtures.rows(prior[None])[0], 3)
        answers.append((mine, mixtures.gather(documents, table, mine)))
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)
