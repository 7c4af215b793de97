from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.device import Device
from optml.algorithms.pca.sketch import Sketch
from tests.algorithms.pca.training import singular_values, spread


def sketch(rows: np.ndarray, size: int, *, centered: bool = True) -> Sketch:
    state = Sketch(rows.shape[1], size, Device("cpu"), centered=centered)
    state.absorb(rows)
    return state


@pytest.mark.parametrize("centered", [True, False])
def test_the_sketch_keeps_within_its_bound(centered: bool) -> None:
    rows = spread(900, 200)
    exact = rows.astype(np.float64) - (rows.mean(axis=0, dtype=np.float64) if centered else 0)
    state = sketch(rows, 20, centered=centered)
    assert state.sketch.shape == (20, 200)
    gap = np.linalg.eigvalsh(exact.T @ exact - state.sketch.T.astype(np.float64) @ state.sketch)
    rounding = 1e-6 * np.square(exact).sum()
    assert gap.min() >= -rounding
    assert gap.max() <= state.loss + rounding
    tails = np.linalg.eigvalsh(exact.T @ exact).cumsum()[::-1]  # of all but the r largest, at r
    assert state.loss <= min(tails[r] / (20 - r) for r in range(1, 20)) + rounding


def test_few_rows_are_kept_as_they_are() -> None:
    rows = spread(15, 50)
    components = sketch(rows, 20).components(10)
    np.testing.assert_allclose(components.singular_values, singular_values(rows, 10), rtol=1e-5)
    assert components.mean is not None
    np.testing.assert_allclose(components.mean, rows.mean(axis=0), rtol=1e-6)


def test_singular_values_and_variance_are_near_the_exact_ones() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits().data.astype(np.float32)
    components = sketch(digits, 20).components(10)
    np.testing.assert_allclose(components.singular_values, singular_values(digits, 10), rtol=0.01)
    assert components.total_variance == pytest.approx(len(digits) * digits.var(axis=0).sum(), rel=1e-5)
    centered = digits - digits.mean(axis=0)
    share = np.square(centered @ components.directions).sum() / np.square(centered).sum()
    assert share >= 0.738  # exact: 0.73823; a sketch of random signs: 0.59
    assert components.explained == pytest.approx(share, abs=0.005)


def test_a_mean_that_drifts_is_that_of_all_rows() -> None:
    rows = spread(1000, 60)
    rows[:, 0] += np.linspace(0, 50, 1000)  # its own pieces do not see the largest direction
    components = sketch(rows, 12).components(2)
    np.testing.assert_allclose(components.singular_values, singular_values(rows, 2), rtol=1e-3)
    assert abs(components.directions[0, -1]) > 0.99
