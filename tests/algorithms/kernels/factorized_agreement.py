"""What every path of the factorization machine must do, checked against the definition in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_array, random_array

from optml.algorithms.kernels import factorized
from optml.algorithms.kernels.factorized.terms import BETA1, BETA2, FactorState, Step, View

# (rows, features, factors, share of entries that are there)
SHAPES = [
    (1, 1, 1, 1.0),
    (7, 30, 3, 0.2),
    (40, 9, 5, 0.9),
    (20, 40, 64, 0.04),
    (33, 20, 70, 0.3),
    (5, 8, 300, 0.5),
]

# Takes an array to where a path's state lives.
Put: TypeAlias = Callable[[np.ndarray], Any]

STEP = Step.number(
    3, (0.01, 0.02, 0.1), (0.3, 0.2, 0.1), rescale=0.1, clip=0.05, epsilon=1e-8
)  # decay and clipping both bite


@dataclass(frozen=True)
class Case:
    """A state in which features are at the places of their own numbers, and a batch."""

    table: np.ndarray  # (d, k + 1) by feature
    moments: tuple[np.ndarray, np.ndarray]
    bias: np.ndarray
    features: csr_array
    labels: np.ndarray


def case(n: int, d: int, k: int, share: float, *, classifier: bool) -> Case:
    rng = np.random.default_rng(n + d + k)
    features = csr_array(random_array((n, d), density=share, format="csr", rng=rng, dtype=np.float64))
    features.data = rng.normal(size=len(features.data))
    moments = rng.normal(size=(d, k + 1)), rng.random((d, k + 1))
    labels = rng.integers(0, 2, n).astype(float) if classifier else rng.normal(size=n)
    return Case(0.5 * rng.normal(size=(d, k + 1)), moments, np.array([0.3, 0.2, 0.1]), features, labels)


def step_of_adam(
    table: np.ndarray, mean: np.ndarray, square: np.ndarray, gradient: np.ndarray, rates: Any, decays: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adam's step by its formula, in float64."""
    g = np.clip(STEP.rescale * gradient + decays * table, -STEP.clip, STEP.clip)
    mean, square = BETA1 * mean + (1 - BETA1) * g, BETA2 * square + (1 - BETA2) * g * g
    return table - rates * mean / (np.sqrt(square) + STEP.epsilon), mean, square


def sparse_batches_agree(put: Put, shape: tuple[int, int, int, float], *, classifier: bool) -> None:
    """Scores, gradients, tallies and the state after a step are the definition's; other rows stay."""
    n, d, k, share = shape
    example = case(n, d, k, share, classifier=classifier)
    features = example.features.astype(np.float32)
    view = View.of(features.indptr, features.indices, features.data)
    state = FactorState(
        *(put(a.astype(np.float32)) for a in (example.table, *example.moments)), put(example.bias.copy())
    )
    there = View(*(put(getattr(view, field.name)) for field in fields(View)))
    labels = put(example.labels.astype(np.float32))

    forward = factorized.score(state, there, labels, classifier=classifier)
    scores, pairs, slopes, gradient = factorized.reference(
        example.table, 0.3, example.features.toarray(), example.labels, classifier=classifier
    )
    size = np.abs(example.features.toarray()).sum(1).max(initial=1) ** 2 * k  # of what cancels in a pair term
    slack = 1e-6 * size
    np.testing.assert_allclose(host(forward.scores), scores, atol=slack, rtol=1e-5)
    np.testing.assert_allclose(host(forward.slopes), slopes, atol=slack, rtol=1e-5)
    tallies_agree(host(forward.tallies), scores, pairs, example.labels, classifier=classifier, slack=slack)

    distinct = view.distinct
    gradients = host(factorized.gradient(state, there, forward))
    np.testing.assert_allclose(gradients, gradient[distinct], atol=slack * n, rtol=1e-4)
    other = FactorState(*(put(host(getattr(state, field.name)).copy()) for field in fields(FactorState)))
    factorized.learn(state, there, forward, STEP)
    rates, decays = (np.array([*[three[0]] * k, three[1]]) for three in (STEP.rates, STEP.decays))
    expected = [a.astype(np.float32).astype(np.float64) for a in (example.table, *example.moments)]
    after = step_of_adam(
        *(a[distinct] for a in expected), gradients.astype(np.float64), rates, decays
    )  # from the gradient found: its sign near 0 decides by rounding
    for whole, part in zip(expected, after, strict=True):
        whole[distinct] = part
    for array, correct in zip((state.rows, state.means, state.squares), expected, strict=True):
        np.testing.assert_allclose(host(array), correct, atol=1e-5, rtol=1e-4)
        others = np.setdiff1d(np.arange(d), distinct)
        np.testing.assert_array_equal(host(array)[others], correct[others].astype(np.float32))
    total = host(forward.slopes).sum(dtype=np.float64)
    np.testing.assert_allclose(
        host(state.bias), step_of_adam(*example.bias, total, STEP.rates[2], STEP.decays[2]), rtol=1e-5
    )

    slope = put(np.array([total]))
    factorized.apply(other, there.distinct, put(gradients), slope, STEP)  # as hosts do it, in two halves
    for field in fields(FactorState):
        np.testing.assert_allclose(
            host(getattr(other, field.name)), host(getattr(state, field.name)), atol=1e-6, rtol=1e-5
        )


def dense_batches_score_as_sparse_ones(put: Put, *, classifier: bool) -> None:
    example = case(50, 12, 6, 0.6, classifier=classifier)
    table, dense = example.table.astype(np.float32), example.features.toarray().astype(np.float32)
    state = FactorState(put(table), put(table * 0), put(table * 0), put(example.bias.copy()))
    labels = put(example.labels.astype(np.float32))
    forward = factorized.score_dense(state, put(dense), put(dense**2), labels, classifier=classifier)
    scores, pairs, _, gradient = factorized.reference(
        example.table, 0.3, example.features.toarray(), example.labels, classifier=classifier
    )
    np.testing.assert_allclose(host(forward.scores), scores, atol=1e-5, rtol=1e-5)
    tallies_agree(host(forward.tallies), scores, pairs, example.labels, classifier=classifier, slack=1e-5)
    gradients = factorized.gradient_dense(state.rows, put(dense), put(dense**2), forward.sums, forward.slopes)
    np.testing.assert_allclose(host(gradients), gradient, atol=1e-3, rtol=1e-4)


def tallies_agree(
    tallies: np.ndarray,
    scores: np.ndarray,
    pairs: np.ndarray,
    labels: np.ndarray,
    *,
    classifier: bool,
    slack: float,
) -> None:
    if classifier:
        sure = np.abs(scores) > slack
        right = (scores >= 0) == (labels == 1)
        losses = np.logaddexp(0, scores) - scores * labels
        assert abs(tallies[factorized.SECOND] - right.sum()) <= (~sure).sum()
        assert abs(tallies[factorized.HITS] - ((scores >= 0) & (labels == 1)).sum()) <= (~sure).sum()
        assert abs(tallies[factorized.POSITIVES] - ((scores >= 0).sum() + labels.sum())) <= (~sure).sum()
    else:
        losses = (scores - labels) ** 2
        np.testing.assert_allclose(
            tallies[factorized.SECOND], np.abs(scores - labels).sum(), atol=slack, rtol=1e-4
        )
    n = len(scores)
    assert tallies[factorized.ROWS] == n
    np.testing.assert_allclose(tallies[factorized.LOSS], losses.sum(), atol=n * slack, rtol=1e-4)
    np.testing.assert_allclose(tallies[factorized.SCORE], scores.sum(), atol=n * slack)
    np.testing.assert_allclose(
        tallies[factorized.SCORE_SQUARED], (scores**2).sum(), atol=n * slack, rtol=1e-4
    )
    np.testing.assert_allclose(tallies[factorized.PAIR], pairs.sum(), atol=n * slack)
    np.testing.assert_allclose(tallies[factorized.PAIR_SQUARED], (pairs**2).sum(), atol=n * slack, rtol=1e-4)


def host(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())
