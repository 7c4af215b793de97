from __future__ import annotations

import numpy as np
import pytest

from optml.algorithms.kernels.topk import fold, search
from tests.algorithms.kernels import topk_agreement as agreement
from tests.algorithms.kernels.topk_agreement import SHAPES, agree, normal


def by_cpu(queries: np.ndarray, points: np.ndarray, k: int, inner: bool) -> tuple[np.ndarray, np.ndarray]:
    return search(queries, fold(points), k, inner)


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_odd_sizes_agree_with_the_reference(shape: tuple[int, int, int, int], inner: bool) -> None:
    agree(by_cpu, *normal(*shape[:3]), shape[3], inner)


def test_several_threads_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optml.algorithms.kernels.machine.threads.count", lambda: 3)
    monkeypatch.setattr("optml.algorithms.kernels.machine.threads.ALONE", 0)
    for queries in (2, 40):
        agree(by_cpu, *normal(queries, 70, 9), 10, False)
        agree(by_cpu, *normal(queries, 1999, 9), 10, True)


def test_points_at_an_odd_address_are_searched_where_they_lie() -> None:
    queries, points = normal(30, 500, 11)
    raw = np.frombuffer(b"\0" + points.tobytes(), np.uint8)
    odd = raw[1:].view(np.float32).reshape(points.shape)
    assert not odd.flags.aligned
    agree(by_cpu, queries, odd, 4, False)
    agree(by_cpu, queries[:3], odd, 4, True)


def test_points_far_from_the_origin_keep_their_order() -> None:
    agreement.finds_neighbours_far_from_the_origin(by_cpu)


def test_points_close_together_are_told_apart() -> None:
    agreement.tells_points_apart_that_are_close_together_far_from_the_mean(by_cpu)


@pytest.mark.parametrize("queries", [1, 50])
def test_ties_go_to_the_first_places(queries: int) -> None:
    agreement.gives_ties_to_the_first_places(by_cpu, queries)


@pytest.mark.parametrize(("count", "features"), [(64, 20), (2100, 130)])
def test_an_answer_does_not_depend_on_its_batch(count: int, features: int) -> None:
    queries, points = normal(count, 1500, features)
    together, places = by_cpu(queries, points, 10, False)
    for i in (0, 17, count - 1):
        alone, place = by_cpu(queries[i : i + 1], points, 10, False)
        np.testing.assert_array_equal(alone[0], together[i])
        np.testing.assert_array_equal(place[0], places[i])


def test_many_queries_are_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optml.algorithms.kernels.topk.cpu.MOST_CANDIDATES", 600)
    agree(by_cpu, *normal(70, 300, 5), 10, False)
    agree(by_cpu, *normal(70, 300, 5), 10, True)


def test_many_equal_points_are_ties_in_any_batch() -> None:
    rng = np.random.default_rng(5)
    points = rng.integers(0, 2, (3000, 5)).astype(np.float32)
    agree(by_cpu, points[:40], points, 10, False)
    agree(by_cpu, points[:4], points, 10, False)
