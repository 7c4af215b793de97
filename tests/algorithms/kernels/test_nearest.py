from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.kernels.nearest import Absorbed, absorb, nearest, reference

SHAPES = [
    (1, 1, 1),
    (500, 3, 2),
    (321, 2, 1),
    (0, 3, 2),
    (130, 3, 5),
    (257, 65, 130),
    (300, 32, 1030),
    (40, 129, 7),
]


def on_cpu(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, Absorbed]:
    labels, squared = nearest(rows, centers.astype(np.float32))
    return labels, squared, absorb(rows, centers)


def by_triton(rows: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray, Absorbed]:
    """Compiled where there is a GPU, interpreted on the CPU elsewhere."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("triton")
    from algorithms.kernels import nearest_triton

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, c = (torch.from_numpy(array).to(device) for array in (rows, centers))
    labels, squared = nearest_triton.nearest(x, c.float())
    counts, sums, loss = (part.cpu().numpy() for part in nearest_triton.absorb(x, c))
    return labels.cpu().numpy(), squared.cpu().numpy(), Absorbed(counts, sums, loss)


PATHS = [
    pytest.param(on_cpu, id="cpu"),
    pytest.param(by_triton, id="triton", marks=pytest.mark.gpu),
]
Path = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, Absorbed]]


def agree(path: Path, rows: np.ndarray, centers: np.ndarray) -> None:
    """The path's answer is the reference's, but for rows with two centers equally near to within rounding."""
    labels, squared, absorbed = path(rows, centers)
    _, smallest, _ = reference(rows, centers)
    away = np.linalg.norm(centers - centers.mean(axis=0), axis=1).max(initial=0)
    slack = 2.0**-21 * rows.shape[1] * (np.linalg.norm(rows, axis=1) * away + away**2) + 1e-12
    chosen = np.square(rows - centers[labels]).sum(axis=1)
    assert (chosen - smallest <= slack).all()
    np.testing.assert_allclose(squared, chosen, rtol=1e-4, atol=1e-6)
    # What is added up belongs to the labels of the same products.
    np.testing.assert_array_equal(absorbed.counts, np.bincount(labels, minlength=len(centers)))
    sums = np.zeros(centers.shape)
    np.add.at(sums, labels, rows.astype(np.float64))
    np.testing.assert_allclose(absorbed.sums, sums, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(absorbed.loss, smallest.sum(), rtol=1e-4, atol=2 * slack.sum() + 1e-9)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_odd_sizes_agree_with_the_reference(path: Path, shape: tuple[int, int, int]) -> None:
    n, d, k = shape
    rng = np.random.default_rng(n + d + k)
    rows = rng.normal(size=(n, d)).astype(np.float32)
    agree(path, rows, rng.normal(size=(k, d)))


@pytest.mark.parametrize("path", PATHS)
def test_data_far_from_the_origin_keep_their_neighbours(path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(200, 6)) + 3000).astype(np.float32)
    centers = rng.normal(size=(9, 6)) + 3000
    labels, _, _ = reference(rows, centers)
    assert (path(rows, centers)[0] == labels).mean() > 0.98


@pytest.mark.parametrize("path", PATHS)
def test_ties_go_to_the_lowest_center(path: Path) -> None:
    rows = np.ones((5, 4), np.float32)
    centers = np.zeros((1100, 4))
    centers[[3, 700, 1099]] = 1
    labels, squared, absorbed = path(rows, centers)
    assert labels.tolist() == [3] * 5
    assert squared.tolist() == [0] * 5
    assert absorbed.counts[3] == 5


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value)")
def test_scores_that_overflow_still_choose_some_center(path: Path) -> None:
    rows = np.full((3, 2), 3e38, np.float32)
    labels, _, _ = path(rows, np.array([[-3e38, 3e38], [3e38, -3e38]]))
    assert set(labels.tolist()) <= {0, 1}


@settings(max_examples=40, deadline=None)
@given(n=st.integers(0, 600), d=st.integers(1, 40), k=st.integers(1, 60), seed=st.integers(0, 99))
def test_the_cpu_path_agrees_on_any_size(n: int, d: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    agree(on_cpu, rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(k, d)))


def test_threads_do_not_change_labels() -> None:
    rng = np.random.default_rng(3)
    rows, centers = rng.normal(size=(5000, 32)).astype(np.float32), rng.normal(size=(200, 32))
    agree(on_cpu, rows, centers)  # large enough to be shared out
