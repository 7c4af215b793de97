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
    State,
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
        found = 0.2 * rng.normal(size=size).astype(np.float32)
        return np.abs(found) if len(size) == 1 else found

    known = table(entities, 3, width)
    parts = np.zeros((PREFIXES if prefixes else 0, 3, width), np.float32)
    addresses = rng.integers(0, 1 << 32, distinct, np.uint32)[rng.integers(0, distinct, n)]
    if prefixes:
        touched = np.unique(prefix_rows_of(addresses))
        parts[touched] = table(len(touched), 3, width)
    dense = table(3, BITS + layers * (width + 1), width)
    for moments in (known[:, 2], parts[:, 2], dense[2]):
        np.abs(moments, out=moments)
    labels = rng.integers(0, 2, n).astype(np.float32)
    return Case(known, parts, dense, rng.integers(0, entities, n).astype(np.uint32), addresses, labels)


def there(put: Put, given: View) -> View:
    plain = (given.addresses, given.prefix_rows, given.bounds, given.rows, given.labels, given.members)
    entities, prefixes = (
        Groups(put(groups.touched), put(groups.bounds), put(groups.places), put(groups.rates))
        for groups in (given.entities, given.prefixes)
    )
    return View(*map(put, plain), entities=entities, prefixes=prefixes)  # type: ignore[misc]


def batches_agree(put: Put, shape: tuple[int, int, int, int, int, bool]) -> None:
    """Scores, tallies, gradients and the state after a step are the definition's; other rows stay."""
    given = case(shape)
    width = shape[3]
    state = State(*(put(a.copy()) for a in (given.entities, given.prefixes, given.dense)))
    assert state.layers == shape[4]
    teaching = np.ones(len(given.rows), bool) if shape[5] else None
    here = view(given.rows, given.addresses, given.labels, teaching)
    batch = there(put, here)
    every_row = prefix_rows_of(given.addresses) if shape[5] else np.empty((len(given.rows), 0), np.int32)
    values = [a.astype(np.float64) for a in (given.entities[:, 0], given.prefixes[:, 0], given.dense[0])]
    scores, loss, *gradients = pair_step.reference(
        *values, given.rows, given.addresses, every_row, given.labels
    )
    order = _order(here, given)
    slack = 1e-6 * width
    np.testing.assert_allclose(host(pair_step.score(state, batch)), scores[order], atol=slack)

    found = pair_step.gradient(state, batch)
    tallies = [len(scores), loss, ((scores > 0) == (given.labels > 0)).sum()]
    np.testing.assert_allclose(host(found.tallies), tallies, rtol=1e-5)
    slopes = 1 / (1 + np.exp(-scores)) - given.labels
    np.testing.assert_allclose(host(found.slopes), slopes[order][here.members], atol=slack)
    by_entities = host(pair_step.row_gradients(batch.entities, found.slopes, found.outputs))
    np.testing.assert_allclose(by_entities, gradients[0][here.entities.touched], atol=20 * slack)
    by_prefixes = host(pair_step.row_gradients(batch.prefixes, None, found.inputs))
    np.testing.assert_allclose(by_prefixes, gradients[1][here.prefixes.touched], atol=20 * slack)
    np.testing.assert_allclose(host(found.dense), gradients[2], atol=20 * slack)
    for gradient, touched in zip(gradients, (here.entities.touched, here.prefixes.touched), strict=False):
        assert not np.delete(gradient, touched, axis=0).any()

    apart = State(*(put(a.copy()) for a in (given.entities, given.prefixes, given.dense)))
    pair_step.learn(state, batch, found, STEP)
    for table, groups, gradient in (
        (apart.entities, batch.entities, by_entities),
        (apart.prefixes, batch.prefixes, by_prefixes),
    ):
        pair_step.apply_rows(table, groups.touched, groups.rates, put(gradient), STEP)
    pair_step.apply_dense(apart.dense, found.dense, STEP)
    for name, groups, gradient in (
        ("entities", here.entities, by_entities),
        ("prefixes", here.prefixes, by_prefixes),
    ):
        before = getattr(given, name)
        expected = before.copy()
        rows = before[groups.touched].swapaxes(0, 1)
        expected[groups.touched] = np.stack(stepped(rows, gradient, groups.rates[:, None]), axis=1)
        for learned in (state, apart):
            np.testing.assert_allclose(host(getattr(learned, name)), expected, atol=1e-5, rtol=1e-4)
    for learned in (state, apart):
        expected = np.stack(stepped(given.dense, host(found.dense)))
        np.testing.assert_allclose(host(learned.dense), expected, atol=1e-5, rtol=1e-4)


def stepped(
    state: np.ndarray, gradient: np.ndarray, rates: np.ndarray | float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adam's step by its formula, of values, means and squares."""
    table, mean, square = state.astype(np.float64)
    g = STEP.rescale * gradient + STEP.decay * table
    mean, square = BETA1 * mean + (1 - BETA1) * g, BETA2 * square + (1 - BETA2) * g * g
    return table - rates * STEP.rate * mean / (np.sqrt(square) + EPSILON), mean, square


def _order(batch: View, given: Case) -> np.ndarray:
    """The samples in the order of the view: by address, addresses as they appear first."""
    first = {int(address): place for place, address in enumerate(batch.addresses.view(np.uint32))}
    places = [first[int(address)] for address in given.addresses]
    return np.argsort(places, kind="stable")


def host(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())
