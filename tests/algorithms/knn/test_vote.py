from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optml.algorithms.knn import vote

neighbours = st.lists(
    st.tuples(st.sampled_from([-2.5, 0.0, 1.0, 7.0]), st.sampled_from([0.0, 1.0, 2.0]), st.booleans()),
    min_size=1,
    max_size=9,
).filter(lambda rows: any(there for *_, there in rows))


def arrays(rows: list[tuple[float, float, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, distances in ascending order and presence of the neighbours of one query."""
    labels = np.array([[label for label, *_ in rows]], np.float32)
    distances = np.sort(np.array([[distance for _, distance, _ in rows]], np.float32))
    return labels, distances, np.array([[there for *_, there in rows]])


@given(neighbours)
def test_the_most_frequent_wins_then_the_nearest_then_the_smallest(
    rows: list[tuple[float, float, bool]],
) -> None:
    labels, distances, there = arrays(rows)
    votes = Counter(labels[there].tolist())
    nearest = {label: distances[there & (labels == label)].min() for label in votes}
    expected = min(votes, key=lambda label: (-votes[label], nearest[label], label))
    assert vote.majority(labels, distances, there).tolist() == [expected]


@given(neighbours)
def test_shares_are_those_of_the_votes_and_add_up(rows: list[tuple[float, float, bool]]) -> None:
    labels, _, there = arrays(rows)
    classes, shares = vote.shares(labels, there)
    votes = Counter(labels[there].tolist())
    answer = dict(zip(classes[0].compressed().tolist(), shares[0].compressed().tolist(), strict=True))
    total = sum(votes.values())
    assert answer.keys() == votes.keys()
    assert all(abs(answer[label] - count / total) < 1e-6 for label, count in votes.items())
    assert sorted(answer.values(), reverse=True) == list(answer.values())


@given(neighbours)
def test_the_mean_is_that_of_the_neighbours_found(rows: list[tuple[float, float, bool]]) -> None:
    labels, _, there = arrays(rows)
    np.testing.assert_allclose(vote.mean(labels, there), labels[there].mean(), rtol=1e-6)


def test_queries_do_not_mix() -> None:
    labels = np.array([[1, 2, 2], [3, 1, 3]], np.float32)
    there = np.ones((2, 3), bool)
    assert vote.majority(labels, np.zeros((2, 3)), there).tolist() == [2, 3]
