from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from optml.algorithms.kernels.gram import BLOCK, SHARE, accumulate, accumulate_sparse, reference


def totals(width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((width, width)), np.zeros(width)


@pytest.mark.parametrize("shifted", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (1000, 33), (2 * SHARE * 2 + 1, 5), (3 * BLOCK + 17, 40)])
def test_rows_add_up_to_what_the_reference_says(shape: tuple[int, int], shifted: bool) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=shape).astype(np.float32) + 3
    shift = rows.mean(axis=0) if shifted else None
    gram, sums = totals(shape[1])
    accumulate(rows, shift, gram, sums)
    exact, total = reference(rows, shift)
    bound = 2.0**-24 * np.abs(exact).max() * 10  # errors of either sign cancel out: far from BLOCK * 2^-24
    np.testing.assert_allclose(np.triu(gram), np.triu(exact), atol=bound)
    np.testing.assert_allclose(sums, total, atol=2.0**-24 * 10 * np.abs(rows).sum(axis=0).max())


def test_what_was_there_stays() -> None:
    gram, sums = totals(3)
    gram += 5
    sums += 7
    accumulate(np.ones((2, 3), np.float32), None, gram, sums)
    np.testing.assert_array_equal(np.triu(gram), np.triu(np.full((3, 3), 7.0)))
    assert sums.tolist() == [9, 9, 9]


def test_the_order_of_threads_changes_nothing() -> None:
    rows = np.random.default_rng(1).normal(size=(4 * BLOCK, 16)).astype(np.float32)
    results = []
    for _ in range(3):
        gram, sums = totals(16)
        accumulate(rows, None, gram, sums)
        results.append((gram, sums))
    for gram, sums in results[1:]:
        np.testing.assert_array_equal(gram, results[0][0])
        np.testing.assert_array_equal(sums, results[0][1])


def test_sparse_rows_add_up_to_what_the_reference_says() -> None:
    rows = random_array((500, 60), density=0.1, rng=np.random.default_rng(2), dtype=np.float32, format="csr")
    rows = csr_array(rows)
    rows.sort_indices()
    gram, sums = totals(60)
    accumulate_sparse(rows, gram, sums)
    exact, total = reference(rows.toarray(), None)
    np.testing.assert_allclose(np.triu(gram), np.triu(exact), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sums, total, rtol=1e-12, atol=1e-12)


def test_torch_adds_up_the_same() -> None:
    torch = pytest.importorskip("torch")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(BLOCK + 9, 12)).astype(np.float32) + 5
    shift = rows.mean(axis=0)
    gram, sums = (torch.zeros(size, dtype=torch.float64, device=device) for size in ((12, 12), 12))
    accumulate(torch.tensor(rows, device=device), torch.tensor(shift, device=device), gram, sums)
    exact, total = reference(rows, shift)
    np.testing.assert_allclose(gram.cpu(), exact, atol=2.0**-24 * 10 * exact.max())
    np.testing.assert_allclose(sums.cpu(), total, atol=2.0**-24 * 10 * np.abs(rows).sum(axis=0).max())
