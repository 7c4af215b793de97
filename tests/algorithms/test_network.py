"""A torch module in training: hosts agree, resumed jobs go on as if undisturbed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optml.algorithms.base import Setting
from optml.algorithms.cluster import Cluster
from optml.algorithms.forecasting_deepar.data import data
from optml.algorithms.registry import get
from optml.container.group import Alone
from tests.algorithms.forecasting_deepar import sample as series
from tests.algorithms.hosts import on_hosts

torch = pytest.importorskip("torch")

from optml.algorithms import network as networks  # noqa: E402
from optml.algorithms.network import PER_THREAD, Network, seeded, threads  # noqa: E402
from tests.algorithms.ntm import training as topics  # noqa: E402
from tests.algorithms.topics.documents import documents  # noqa: E402

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


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_small_products_have_one_thread_and_large_ones_all() -> None:
    counts = []
    for size in (1000, 2 * PER_THREAD, 1000 * PER_THREAD):
        with threads(size):
            counts.append(torch.get_num_threads())
    assert counts == [1, 2, 3]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("slug", ["forecasting-deepar", "ntm"])
def test_small_networks_learn_on_one_thread(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    gradient = Network.gradient

    def counted(self: Network, loss: object, *numbers: float) -> list[float]:
        counts.append(torch.get_num_threads())
        return gradient(self, loss, *numbers)  # type: ignore[arg-type]

    monkeypatch.setattr(Network, "gradient", counted)
    if slug == "ntm":
        learner = topics.learner(60)
        topics.absorb(learner, documents()[0])
    else:
        made = series.setting()
        deepar = get(slug).training.learner
        assert deepar is not None
        source = data(series.channel(*series.waves()), made)
        learner = deepar(replace(made, train=source))
        for draw in source.epoch(0):
            learner.update(draw)
    assert set(counts) == {1}


def test_gradients_are_added_up_beside_backward_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "BUCKET", 20)
    events: list[str] = []

    class Watched(Alone):
        size = 2

        def all_sum(self, *arrays: np.ndarray) -> None: ...
        def sum_beside(self, tensor: torch.Tensor) -> Any:
            events.append(f"sum {len(tensor)}")
            return lambda: events.append("wait")

    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 5), torch.nn.Linear(5, 1))
    module[0].weight.register_hook(lambda _: events.append("first layer"))
    made = Network(module, torch.optim.SGD(module.parameters(), 0.1), Setting(None, Watched()))
    made.gradient(module(torch.ones(2, 3)).sum())
    assert events == ["sum 11", "sum 20", "first layer", "sum 16", *["wait"] * 3]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in module.parameters())
    events.clear()
    made.gradient(None)  # a host without a batch
    assert events == ["sum 11", "sum 20", "sum 16", *["wait"] * 3]
    assert not any(parameter.grad.any() for parameter in module.parameters())


def test_running_statistics_are_averaged() -> None:
    def host(cluster: Cluster) -> list[float]:
        module = torch.nn.BatchNorm1d(1)
        made = Network(module, torch.optim.SGD(module.parameters(), 0.1), Setting(None, cluster))
        module.running_mean.fill_(float(cluster.rank))
        module.num_batches_tracked.fill_(7)
        made.average_buffers()
        return [module.running_mean.item(), module.num_batches_tracked.item()]

    assert on_hosts(2, host) == [[0.5, 7], [0.5, 7]]
