"""Compiled where there is a GPU; elsewhere Triton interprets the kernels on the CPU (tests/conftest.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optml.algorithms.kernels.bags import Bags, Table
from tests.algorithms.kernels import bags_agreement as agreement

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytestmark = pytest.mark.gpu

from optml.algorithms.kernels.bags import triton as bags_triton  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def there(array: np.ndarray) -> Any:
    return torch.tensor(array, dtype=torch.float32, device=DEVICE)


@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_sums_agree_with_dense_products(shape: tuple[int, int, int]) -> None:
    n, words, width = shape
    counts = agreement.documents(n, words)
    rows = np.random.default_rng(1).normal(size=(words, width))
    documents = Bags.of(counts).documents
    table = Table(
        *(torch.from_numpy(a).to(DEVICE) for a in (documents.bounds, documents.places, documents.values))
    )
    agreement.close(bags_triton.sums(table, there(rows)), counts.toarray().astype(np.float64) @ rows)


@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_the_softmax_agrees_with_its_definition(shape: tuple[int, int, int]) -> None:
    n, words, k = shape
    rng = np.random.default_rng(2)
    latent, weight, bias = (rng.normal(size=size) for size in ((n, k), (words, k), (words,)))
    scores = latent @ weight.T + bias
    expected = np.log(np.exp(scores).sum(axis=1))
    parts = there(latent), there(weight), there(bias)
    levels = bags_triton.normalizers(*parts)
    agreement.close(levels, expected)
    likely = np.exp(scores - expected[:, None])
    agreement.close(bags_triton.likely(*parts, levels), likely)
    shares = rng.normal(size=n)
    sums = bags_triton.expectations(*parts, levels, there(shares))
    for one, other in zip(
        sums, (likely @ weight, likely.T @ (shares[:, None] * latent), likely.T @ shares), strict=True
    ):
        agreement.close(one, other)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_gradients_agree_on_the_device(shape: tuple[int, int, int]) -> None:
    agreement.sums_agree(shape, DEVICE)
    agreement.likelihoods_agree(shape, DEVICE)
