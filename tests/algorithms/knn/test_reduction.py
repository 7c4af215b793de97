from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard as matrix

from optml.algorithms.knn.reduction import Reduction, hadamard
from optml.errors import UserError

SIGNS = {
    "sign": [[-1, 1, 1], [1, -1, -1], [-1, -1, -1], [-1, -1, 1], [-1, -1, -1]],
    "fjlt": [[-1, -1, -1], [1, -1, 1], [1, 1, -1], [1, -1, -1], [-1, 1, 1]],
}


@pytest.mark.parametrize("width", [1, 2, 64, 128, 4096])
def test_the_fast_transform_is_the_product_with_the_matrix(width: int) -> None:
    rows = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
    np.testing.assert_allclose(hadamard(rows), rows @ matrix(width), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["sign", "fjlt"])
@pytest.mark.parametrize("features", [1024, 700])
def test_squared_distances_and_products_are_kept_on_average(kind: str, features: int) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 1000, features)).astype(np.float32)
    reduction = Reduction(kind, 3, 256, features)  # type: ignore[arg-type]
    outputs = reduction.apply(first), reduction.apply(second)
    assert outputs[0].shape == (1000, 256)
    assert outputs[0].dtype == np.float32
    ratio = np.square(outputs[0] - outputs[1]).sum(axis=1) / np.square(first - second).sum(axis=1)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    # sqrt(2 / t); choosing t of p coordinates without replacement leaves sqrt((p - t) / p) of it.
    expected = np.sqrt(2 / 256) * (1 if kind == "sign" else np.sqrt(768 / 1024))
    assert ratio.std() == pytest.approx(expected, rel=0.15)
    products = (outputs[0] * outputs[1]).sum(axis=1) - (first * second).sum(axis=1)
    assert abs(products.mean()) < 4 * products.std() / np.sqrt(1000)


@pytest.mark.parametrize("kind", ["sign", "fjlt"])
def test_the_seed_gives_the_same_matrix_for_ever(kind: str) -> None:
    rows = np.eye(5, dtype=np.float32)
    again = Reduction(kind, 42, 3, 5).apply(rows)  # type: ignore[arg-type]
    np.testing.assert_array_equal(Reduction(kind, 42, 3, 5).apply(rows), again)  # type: ignore[arg-type]
    assert not np.array_equal(Reduction(kind, 43, 3, 5).apply(rows), again)  # type: ignore[arg-type]
    # What models hold is the seed alone: these signs must never change.
    np.testing.assert_array_equal(np.sign(again), SIGNS[kind])


def test_blocks_of_rows_are_reduced_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of whole numbers sums are exact: BLAS may add in another order where there are fewer rows.
    rows = np.random.default_rng(0).integers(-99, 100, size=(20, 9)).astype(np.float32)
    whole = Reduction("fjlt", 0, 4, 9).apply(rows)
    monkeypatch.setattr("optml.algorithms.knn.reduction.VALUES", 50)
    np.testing.assert_array_equal(Reduction("fjlt", 0, 4, 9).apply(rows), whole)


def test_a_target_beyond_what_fjlt_yields_is_refused() -> None:
    with pytest.raises(UserError, match=r"20 features into at most 32, but 96 are asked for"):
        Reduction("fjlt", 0, 96, 20)
    Reduction("sign", 0, 96, 20)
