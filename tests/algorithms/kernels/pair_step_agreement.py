"""What every path of the step on pairs must do, checked against the definition in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from optml.algorithms.kernels import pairs as pair_step
from optml.algorithms.kernels.pairs.terms import (
    BETA1,
    BETA2,
    BITS,
    EPSILON,
    PREFIXES,
    Groups,
    PairState,
    Step,
    View,
)
from optml.algorithms.kernels.pairs.view_cpu import prefix_rows_of, view

# (samples, distinct addresses at most, entities, width, layers, with prefixes)
SHAPES = [
    (1, 1, 1, 16, 1, False),
    (40, 12, 9, 16, 0, True),
    (21, 30, 6, 16, 2, True),
    (33, 40, 5, 48, 2, False),
    (30, 25, 7, 32, 3, False),
    (3, 2, 4, 528, 1, False),
]

# Takes an array to where a path's state lives.
Put: TypeAlias = Callable[[np.ndarray], Any]

STEP = Step.number(3, 0.01, 0.3, 0.1)  # decay bites


@dataclass(frozen=True)
class Case:
    entities: np.ndarray  # (rows, 3, d) float32
    prefixes: np.ndarray
    dense: np.ndarray
    rows: np.ndarray
    addresses: np.ndarray
    labels: np.ndarray


def case(shape: tuple[int, int, int, int, int, bool]) -> Case:
    n, distinct, entities, width, layers, prefixes = shape
    rng = np.random.default_rng(n + width)

    def table(*size: int) -> np.ndarray:
        values = 0.2 * rng.normal(size=size).astype(np.float32)
        return np.abs(values) if len(size) == 1 else values

    pairs = table(entities, 3, width)
    parts = np.zeros((PREFIXES if prefixes else 0, 3, width), np.float32)
    addresses = rng.integers(0, 1 << 32, distinct, np.uint32)[rng.integers(0, distinct, n)]
    if prefixes:
        prefix_rows = np.unique(prefix_rows_of(addresses))
        parts[prefix_rows] = table(len(prefix_rows), 3, width)
    dense = table(3, BITS + layers * (width + 1), width)
    for moments in (pairs[:, 2], parts[:, 2], dense[2]):
        np.abs(moments, out=moments)
    labels = rng.integers(0, 2, n).astype(np.float32)
    return Case(pairs, parts, dense, rng.integers(0, entities, n).astype(np.uint32), addresses, labels)


def there(put: Put, whole: View) -> View:
    plain = (whole.addresses, whole.prefix_rows, whole.bounds, whole.rows, whole.labels, whole.members)
    entities, prefixes = (
        Groups(put(groups.rows), put(groups.bounds), put(groups.places), put(groups.rates))
        for groups in (whole.entities, whole.prefixes)
    )
    return View(*map(put, plain), entities=entities, prefixes=prefixes)  # type: ignore[misc]


def batches_agree(put: Put, shape: tuple[int, int, int, int, int, bool]) -> None:
    """Scores, tallies, gradients and the state after a step are the definition's; other rows stay."""
    example = case(shape)
    width = shape[3]
    state = PairState(*(put(a.copy()) for a in (example.entities, example.prefixes, example.dense)))
    assert state.layers == shape[4]
    teaching = np.ones(len(example.rows), bool) if shape[5] else None
    here = view(example.rows, example.addresses, example.labels, teaching)
    batch = there(put, here)
    every_row = prefix_rows_of(example.addresses) if shape[5] else np.empty((len(example.rows), 0), np.int32)
    values = [
        a.astype(np.float64) for a in (example.entities[:, 0], example.prefixes[:, 0], example.dense[0])
    ]
    scores, loss, *gradients = pair_step.reference(
        *values, example.rows, example.addresses, every_row, example.labels
    )
    order = _order(here, example)
    slack = 1e-6 * width
    np.testing.assert_allclose(host(pair_step.score(state, batch)), scores[order], atol=slack)

    gradient_of_batch = pair_step.gradient(state, batch)
    tallies = [len(scores), loss, ((scores > 0) == (example.labels > 0)).sum()]
    np.testing.assert_allclose(host(gradient_of_batch.tallies), tallies, rtol=1e-5)
    slopes = 1 / (1 + np.exp(-scores)) - example.labels
    np.testing.assert_allclose(host(gradient_of_batch.slopes), slopes[order][here.members], atol=slack)
    by_entities = host(
        pair_step.row_gradients(batch.entities, gradient_of_batch.slopes, gradient_of_batch.outputs)
    )
    np.testing.assert_allclose(by_entities, gradients[0][here.entities.rows], atol=20 * slack)
    by_prefixes = host(pair_step.row_gradients(batch.prefixes, None, gradient_of_batch.inputs))
    np.testing.assert_allclose(by_prefixes, gradients[1][here.prefixes.rows], atol=20 * slack)
    np.testing.assert_allclose(host(gradient_of_batch.dense), gradients[2], atol=20 * slack)
    for gradient, rows_there in zip(gradients, (here.entities.rows, here.prefixes.rows), strict=False):
        assert not np.delete(gradient, rows_there, axis=0).any()

    apart = PairState(*(put(a.copy()) for a in (example.entities, example.prefixes, example.dense)))
    pair_step.learn(state, batch, gradient_of_batch, STEP)
    for table, groups, gradient in (
        (apart.entities, batch.entities, by_entities),
        (apart.prefixes, batch.prefixes, by_prefixes),
    ):
        pair_step.apply_rows(table, groups.rows, groups.rates, put(gradient), STEP)
    pair_step.apply_dense(apart.dense, gradient_of_batch.dense, STEP)
    for name, groups, gradient in (
        ("entities", here.entities, by_entities),
        ("prefixes", here.prefixes, by_prefixes),
    ):
        before = getattr(example, name)
        expected = before.copy()
        rows = before[groups.rows].swapaxes(0, 1)
        expected[groups.rows] = np.stack(step_of_adam(rows, gradient, groups.rates[:, None]), axis=1)
        for other in (state, apart):
            np.testing.assert_allclose(host(getattr(other, name)), expected, atol=1e-5, rtol=1e-4)
    for other in (state, apart):
        expected = np.stack(step_of_adam(example.dense, host(gradient_of_batch.dense)))
        np.testing.assert_allclose(host(other.dense), expected, atol=1e-5, rtol=1e-4)


def step_of_adam(
    state: np.ndarray, gradient: np.ndarray, rates: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adam's step by its formula, of values, means and squares."""
    table, mean, square = state.astype(np.float64)
    g = STEP.rescale * gradient + STEP.decay * table
    mean, square = BETA1 * mean + (1 - BETA1) * g, BETA2 * square + (1 - BETA2) * g * g
    return table - rates * STEP.rate * mean / (np.sqrt(square) + EPSILON), mean, square


def _order(batch: View, example: Case) -> np.ndarray:
    """The samples in the order of the view: by address, addresses as they appear first."""
    first = {int(address): place for place, address in enumerate(batch.addresses.view(np.uint32))}
    places = [first[int(address)] for address in example.addresses]
    return np.argsort(places, kind="stable")


def host(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())
