"""What the steps of rows must agree with: the definition, in which every update moves every row."""

from __future__ import annotations

from typing import Any

import numpy as np

from optml.algorithms.kernels import rows
from optml.algorithms.kernels.rows.terms import KINDS, Rule, State, corrected

CASES = [
    (name, lazy, decay)
    for name in KINDS
    for lazy, decay in ((False, 0.0), (True, 0.0), (True, 0.01))
    if not lazy or name in ("sgd", "adagrad", "adam")
]


def agree(name: str, lazy: bool, decay: float, put: Any, back: Any, updates: int, width: int = 5) -> None:
    """Zipf's law says which rows an update touches: some each time, some hardly ever."""
    rng = np.random.default_rng(len(name))
    count, rule = 30, Rule(KINDS[name], lazy, decay)
    values = rng.normal(size=(count, width)).astype(np.float32)
    reference = rows.Reference(values, rule)
    arrays = State.of(values.copy(), rule.kind).arrays()
    state = State(**{key: put(array) for key, array in arrays.items()})
    rates = np.array([0.02 / (1 + 0.01 * update) for update in range(updates)])  # a schedule
    corrections = np.array([corrected(rate, number) for number, rate in enumerate(rates, 1)])
    chances = 1 / np.arange(1, count + 1) ** 1.5
    for update in range(1, updates + 1):
        some = np.unique(rng.choice(count, 4, p=chances / chances.sum()))
        gradient = rng.normal(scale=0.1, size=(len(some), width)).astype(np.float32)
        before = back(rows.read(state, rule, put(some), update - 1, corrections[: update - 1]))
        np.testing.assert_allclose(before, reference.values[some], atol=2e-5, rtol=1e-4)
        rows.step(state, rule, put(some), put(gradient), update, rates[update - 1])
        reference.step(some, gradient, rates[update - 1])
    everything = back(rows.read(state, rule, put(np.arange(count)), updates, corrections))
    np.testing.assert_allclose(everything, reference.values, atol=2e-5, rtol=1e-4)
    again = back(rows.read(state, rule, put(np.arange(count)), updates, corrections))
    np.testing.assert_array_equal(again, everything)  # nothing is made up for twice
