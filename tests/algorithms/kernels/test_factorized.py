from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optml.algorithms.kernels import factorized
from optml.algorithms.kernels.factorized import cpu as factorized_cpu
from optml.algorithms.kernels.factorized.places import Places
from optml.algorithms.kernels.factorized.terms import FactorState, Step, View
from tests.algorithms.kernels import factorized_agreement as agreement


def here(array: np.ndarray) -> np.ndarray:
    return array


@pytest.mark.parametrize("classifier", [False, True])
@pytest.mark.parametrize("shape", agreement.SHAPES)
def test_odd_sizes_agree_with_the_definition(shape: tuple[int, int, int, float], classifier: bool) -> None:
    agreement.sparse_batches_agree(here, shape, classifier=classifier)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 60),
    d=st.integers(1, 50),
    k=st.integers(1, 40),
    share=st.floats(0, 1),
    classifier=st.booleans(),
)
def test_any_size_agrees_with_the_definition(n: int, d: int, k: int, share: float, classifier: bool) -> None:
    agreement.sparse_batches_agree(here, (n, d, k, share), classifier=classifier)


@pytest.mark.parametrize("classifier", [False, True])
def test_dense_batches_score_as_sparse_ones(classifier: bool) -> None:
    agreement.dense_batches_score_as_sparse_ones(here, classifier=classifier)


def test_the_gradient_is_that_of_the_definition_by_autograd() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    rows, features, labels = rng.normal(size=(11, 4)), rng.normal(size=(9, 11)), rng.normal(size=9)
    table = torch.tensor(rows, requires_grad=True)
    loss = 0.0
    for x, y in zip(features, labels, strict=True):
        score = 0.7 + sum(table[i, -1] * x[i] for i in range(11))
        for i in range(11):
            for j in range(i + 1, 11):
                score = score + (table[i, :-1] @ table[j, :-1]) * x[i] * x[j]
        loss = loss + 0.5 * (score - y) ** 2
    loss.backward()
    scores, _, slopes, gradient = factorized.reference(rows, 0.7, features, labels, classifier=False)
    np.testing.assert_allclose(gradient, table.grad.numpy(), rtol=0, atol=1e-9)
    sums, fast, _ = factorized.product(rows, 0.7, features, features**2)
    np.testing.assert_allclose(fast, scores, rtol=0, atol=1e-9)
    gradients = factorized.gradient_dense(rows, features, features**2, sums, slopes)
    np.testing.assert_allclose(gradients, gradient, rtol=0, atol=1e-9)


@pytest.mark.parametrize("parts", [2, 3])
def test_sharing_out_changes_no_bit(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def shared_out(work: Callable[[int, int], None], count: int, size: int) -> None:
        edges = [count * part // parts for part in range(parts + 1)]
        for run in reversed(list(pairwise(edges))):  # in no particular order
            work(*run)

    alone = train()
    monkeypatch.setattr(factorized_cpu, "ALONE", 0)
    monkeypatch.setattr(factorized_cpu, "in_parts", shared_out)
    together = train()
    np.testing.assert_array_equal(alone.rows, together.rows)
    np.testing.assert_array_equal(alone.squares, together.squares)


def train() -> FactorState:
    rng = np.random.default_rng(0)
    state = FactorState(
        rng.normal(size=(50, 9)).astype(np.float32), *np.zeros((2, 50, 9), np.float32), np.zeros(3)
    )
    places = Places()
    for t in range(1, 4):
        indices = rng.integers(0, 50, 600).astype(np.int32)
        view = places.view(np.arange(0, 601, 6, dtype=np.int32), indices, np.ones(600, np.float32))
        forward = factorized.score(state, view, np.ones(100, np.float32), classifier=False)
        step = Step.number(t, (0.1, 0.1, 0.1), (0, 0, 0), rescale=0.01, clip=np.inf, epsilon=1e-8)
        factorized.learn(state, view, forward, step)
    return state


@settings(max_examples=50, deadline=None)
@given(batches=st.lists(st.lists(st.lists(st.integers(0, 2**40), max_size=6), max_size=8), max_size=6))
def test_places_follow_the_order_of_appearance(batches: list[list[list[int]]]) -> None:
    places = Places()
    numbers: dict[int, int] = {}
    for batch in batches:
        indices = np.array([key for row in batch for key in row], np.int64)
        indptr = np.cumsum([0, *map(len, batch)])
        data = np.arange(len(indices), dtype=np.float32)
        view = places.view(indptr, indices, data)
        expected = [numbers.setdefault(key, len(numbers)) for key in indices.tolist()]
        assert view.places.tolist() == expected
        entries = set()
        for u, place in enumerate(view.distinct.tolist()):
            for e in range(view.bounds[u], view.bounds[u + 1]):
                entries.add((place, int(view.rows[e]), float(view.column[e])))
        owners = np.repeat(np.arange(len(batch)), np.diff(indptr)).tolist()
        assert entries == set(zip(expected, owners, data.tolist(), strict=True))
        by_sorting = View.of(indptr, view.places, data)
        assert sorted(view.distinct.tolist()) == by_sorting.distinct.tolist()
        turns = np.argsort(view.distinct)
        np.testing.assert_array_equal(np.diff(view.bounds)[turns], np.diff(by_sorting.bounds))
        assert len(entries) == len(view.rows)
    assert places.ids.tolist() == list(numbers)


def test_many_ids_find_their_places_again() -> None:
    ids = np.random.default_rng(0).permutation(np.arange(0, 3_000_000, 30, dtype=np.int64))
    places = Places()
    np.testing.assert_array_equal(places.find(ids[:60_000]), np.arange(60_000))
    np.testing.assert_array_equal(places.find(ids), np.arange(100_000))
    np.testing.assert_array_equal(places.ids, ids)
