"""Tables: they resume exactly, hosts agree, and nobody is disturbed by a look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from optml.algorithms.base import Setting  # noqa: E402
from optml.algorithms.kernels.rows.terms import ADAM, SGD, Rule  # noqa: E402
from optml.algorithms.sequences.tables import Table  # noqa: E402
from optml.container.group import Alone  # noqa: E402
from tests.algorithms.hosts import on_hosts  # noqa: E402

VALUES = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def learn(table: Table, first: int, last: int, host: int | None = None) -> None:
    """By updates whose rows and gradients are halved between two hosts, or all of one."""
    for update in range(first, last):
        rng = np.random.default_rng(update)
        touched, gradient = np.unique(rng.integers(0, 20, 6)), rng.normal(size=(20, 3)).astype(np.float32)
        if host is not None:
            touched = touched[host::2]
        rows = table.read(touched)
        assert rows.shape == (len(touched), 3)
        table.step(touched, torch.from_numpy(gradient[touched]), 0.01)


@pytest.mark.parametrize(
    "rule", [Rule(ADAM), Rule(ADAM, lazy=True), Rule(SGD, decay=0.1), Rule(ADAM, decay=0.1)]
)
def test_saved_and_loaded_a_table_goes_on_as_if_undisturbed(rule: Rule) -> None:
    setting = Setting(None, Alone())
    whole = Table(VALUES.copy(), rule, setting)
    learn(whole, 0, 30)
    part, rest = Table(VALUES.copy(), rule, setting), Table(VALUES.copy(), rule, setting)
    learn(part, 0, 10)
    part.values()  # a look, which changes nothing
    rest.load_state_dict(part.state_dict())
    learn(rest, 10, 30)
    np.testing.assert_array_equal(rest.values(), whole.values())
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(rest.state_dict()[name], array)


@pytest.mark.parametrize("rule", [Rule(ADAM), Rule(ADAM, lazy=True), Rule(ADAM, decay=0.1)])
def test_two_hosts_agree_on_what_one_would_have(rule: Rule) -> None:
    alone = Table(VALUES.copy(), rule, Setting(None, Alone()))
    learn(alone, 0, 12)

    def work(cluster: Any) -> np.ndarray:
        table = Table(VALUES.copy(), rule, Setting(None, cluster))
        learn(table, 0, 12, cluster.rank)
        return table.values()

    first, second = on_hosts(2, work)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone.values(), rtol=1e-5, atol=1e-6)


def test_settled_or_not_a_table_has_the_same_values() -> None:
    table = Table(VALUES.copy(), Rule(ADAM), Setting(None, Alone()))
    learn(table, 0, 10)
    values = table.values()
    table.settle()
    np.testing.assert_array_equal(table.values(), values)
    np.testing.assert_array_equal(table.read(np.arange(20)).detach().numpy(), values)


def test_a_frozen_table_does_not_move() -> None:
    table = Table(VALUES.copy(), None, Setting(None, Alone()))
    rows = table.read(np.array([3]))
    assert not rows.requires_grad
    table.step(np.array([3]), torch.ones(1, 3), 0.1)
    np.testing.assert_array_equal(table.values(), VALUES)
