"""A torch module in training: hosts agree, resumed jobs go on as if undisturbed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from algorithms.base import Cluster, Setting
from container.cluster import Alone
from tests.algorithms.hosts import on_hosts

torch = pytest.importorskip("torch")

from algorithms.network import Network, seeded  # noqa: E402

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(12, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5], np.float32))[:, None]


def network(cluster: Cluster, seed: int = 0) -> Network:
    with seeded(seed):
        module = torch.nn.Linear(3, 1)
    return Network(module, torch.optim.Adam(module.parameters(), 0.1), Setting(None, cluster, seed=seed))


def learn(made: Network, rows: slice | None) -> float:
    loss = None
    if rows is not None:
        loss = ((made.module(torch.from_numpy(X[rows])) - torch.from_numpy(Y[rows])) ** 2).sum()
    (count,) = made.gradient(loss, 0 if rows is None else len(X[rows]))
    for parameter in made.module.parameters():
        parameter.grad /= count
    made.step()
    return count


def equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_two_hosts_learn_what_one_learns_of_all_rows() -> None:
    alone = network(Alone())
    for _ in range(3):
        assert learn(alone, slice(0, 12)) == 12

    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        made = network(cluster)
        for _ in range(3):
            assert learn(made, slice(0, 8) if cluster.rank == 0 else slice(8, 12)) == 12
        return made.state_dict()

    first, second = on_hosts(2, host)
    assert equal(first, second)
    for name, array in alone.state_dict().items():
        np.testing.assert_allclose(first[name], array, rtol=1e-5, atol=1e-7)


def test_a_host_without_a_batch_takes_part() -> None:
    def host(cluster: Cluster) -> dict[str, np.ndarray]:
        made = network(cluster)
        learn(made, slice(0, 8) if cluster.rank == 0 else None)
        return made.state_dict()

    alone = network(Alone())
    learn(alone, slice(0, 8))
    assert all(equal(state, alone.state_dict()) for state in on_hosts(2, host))


def test_a_resumed_network_goes_on_as_if_undisturbed() -> None:
    made = network(Alone())
    learn(made, slice(0, 6))
    state = made.state_dict()
    numbers = torch.rand(4, generator=made.random())
    learn(made, slice(6, 12))
    resumed = network(Alone(), seed=0)
    resumed.load_state_dict(state)
    assert torch.equal(torch.rand(4, generator=resumed.random()), numbers)
    learn(resumed, slice(6, 12))
    assert equal(made.state_dict(), resumed.state_dict())


def test_random_numbers_differ_from_update_to_update() -> None:
    made = network(Alone())
    first = torch.rand(4, generator=made.random())
    assert torch.equal(torch.rand(4, generator=made.random()), first)
    learn(made, slice(0, 6))
    assert not torch.equal(torch.rand(4, generator=made.random()), first)


def test_the_state_is_a_copy() -> None:
    made = network(Alone())
    state = made.state_dict()
    before = {name: array.copy() for name, array in state.items()}
    learn(made, slice(0, 6))
    assert equal(state, before)


def test_first_parameters_depend_on_the_seed_alone_and_disturb_nobody() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    one = network(Alone(), 1).arrays()
    assert torch.equal(torch.rand(1), expected)
    assert equal(one, network(Alone(), 1).arrays())
    assert not equal(one, network(Alone(), 2).arrays())
