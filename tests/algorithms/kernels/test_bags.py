"""Bags of words: sums and likelihoods with their gradients, never dense."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.algorithms.kernels import bags_agreement as agreement

torch = pytest.importorskip("torch")

from optml.algorithms.kernels.bags import Bags  # noqa: E402
from optml.algorithms.kernels.bags import autograd as bags_torch  # noqa: E402
from optml.algorithms.kernels.bags import cpu as bags_cpu  # noqa: E402


@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_sums_and_their_gradients_are_those_of_dense_products(shape: tuple[int, int, int]) -> None:
    agreement.sums_agree(shape, "cpu")


# Powers that are left for the gradient, and such that it computes again, in blocks of 64 words.
@pytest.mark.parametrize("scores", [0, 1 << 20])
@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_likelihoods_agree_with_the_definition_block_by_block(
    shape: tuple[int, int, int], scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bags_cpu, "CACHED_SCORES", scores)
    monkeypatch.setattr(bags_cpu, "CELLS", max(scores // 8, 1))
    agreement.likelihoods_agree(shape, "cpu")


@pytest.mark.parametrize("scores", [0, 1 << 20])
def test_scores_far_apart_do_not_overflow(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bags_cpu, "CACHED_SCORES", scores)
    agreement.likelihoods_agree((4, 150, 3), "cpu", scale=40.0)


def test_a_hundred_thousand_words_take_the_memory_of_their_rows() -> None:
    words, width = 100_000, 4
    counts = csr_array(
        (np.ones(6, np.float32), np.array([0, 99_999, 5, 7, 9, 70_000]), np.arange(0, 7, 2)), (3, words)
    )
    weight = torch.ones(words, width, requires_grad=True)
    bags = Bags.of(counts)
    assert bags.word_ids.tolist() == [0, 5, 7, 9, 70_000, 99_999]
    bags_torch.embed(bags, weight, sparse=True).sum().backward()
    assert weight.grad is not None
    assert tuple(weight.grad._values().shape) == (6, width)
