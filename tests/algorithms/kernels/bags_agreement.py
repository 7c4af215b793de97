"""What every path of `bags_torch` must do, checked against the float64 reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, random_array

from optml.algorithms.kernels.bags import Bags, reference_likelihoods

# documents, words, width of a row
SHAPES = [(1, 1, 1), (3, 70, 5), (33, 200, 20), (5, 131, 65)]


def documents(n: int, words: int, seed: int = 0) -> csr_array:
    """Counts (n, words); the first document is empty where there are several."""
    rng = np.random.default_rng(seed)
    counts = random_array((n, words), density=0.3, format="csr", rng=rng, dtype=np.float32)
    counts.data = rng.integers(1, 30, len(counts.data)).astype(np.float32)
    if n > 1:
        counts = counts.tolil()
        counts[0] = 0
    return csr_array(counts, dtype=np.float32)


def sums_agree(shape: tuple[int, int, int], device: str) -> None:
    import torch

    from optml.algorithms.kernels.bags.autograd import embed

    n, words, width = shape
    counts, rng = documents(n, words), np.random.default_rng(1)
    weight, slopes = rng.normal(size=(words, width)), rng.normal(size=(n, width))
    gradients = []
    for sparse in (False, True):
        there = torch.tensor(weight, dtype=torch.float32, device=device, requires_grad=True)
        sums = embed(_bags(counts, device), there, sparse=sparse)
        close(sums, counts.toarray().astype(np.float64) @ weight)
        sums.backward(torch.tensor(slopes, dtype=torch.float32, device=device))
        assert there.grad is not None
        assert there.grad.is_sparse == sparse
        gradients.append(there.grad.to_dense())
    close(gradients[0], counts.toarray().astype(np.float64).T @ slopes)
    assert torch.equal(*gradients)


def likelihoods_agree(shape: tuple[int, int, int], device: str, *, scale: float = 1.0) -> None:
    import torch

    from optml.algorithms.kernels.bags.autograd import likelihoods

    n, words, k = shape
    counts, rng = documents(n, words), np.random.default_rng(2)
    values = [scale * rng.normal(size=size) for size in ((n, k), (words, k), (words,))]
    slopes = rng.normal(size=n)
    there = [torch.tensor(v, dtype=torch.float32, device=device, requires_grad=True) for v in values]
    results = likelihoods(_bags(counts, device), *there)
    results.backward(torch.tensor(slopes, dtype=torch.float32, device=device))
    expected, *gradients = reference_likelihoods(counts.toarray().astype(np.float64), *values, slopes)
    close(results, expected)
    for tensor, gradient in zip(there, gradients, strict=True):
        close(tensor.grad, gradient)


def close(result: Any, expected: np.ndarray) -> None:
    """To float32's rounding of the largest term of the sums."""
    slack = 3e-6 * max(np.abs(expected).max(initial=0), 1)
    np.testing.assert_allclose(result.detach().cpu().numpy(), expected, rtol=1e-4, atol=slack)


def _bags(counts: csr_array, device: str) -> Any:
    bags = Bags.of(counts)
    return bags if device == "cpu" else bags.to(device)
