"""`train` on two hosts: two processes that find each other by the names in resourceconfig.json."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from optml.local.ports import free_port
from tests.contract.tree import HOSTS, Ended, Process, Tree, end

pytest.importorskip("torch")


class Pair:
    """The trees of two hosts, with the same data unless a test writes other."""

    def __init__(self, root: Path) -> None:
        self.trees = [Tree(root / name) for name in HOSTS]
        self.port = str(free_port())
        for tree, name in zip(self.trees, HOSTS, strict=True):
            tree.is_host(name, "lo")
            tree.numbers("train", *range(1, 21))

    def hyperparameters(self, **values: object) -> None:
        for tree in self.trees:
            tree.hyperparameters(**values)

    def start(self, **environment: str) -> list[Process]:
        return [tree.start(OPTML_PORT=self.port, **environment) for tree in self.trees]

    @contextmanager
    def held(self, rank: int, checkpoint: str, **environment: str) -> Iterator[list[Process]]:
        """Both, held once the host of that rank has written such a checkpoint."""
        held, other = self.trees[rank], self.trees[1 - rank]
        with held.held(checkpoint, other, OPTML_PORT=self.port, **environment) as processes:
            yield processes if rank == 0 else processes[::-1]

    def train(self, **environment: str) -> list[Ended]:
        return [end(process) for process in self.start(**environment)]

    def assert_failed(self, ended: list[Ended], code: int, reason: str) -> None:
        for host, tree in zip(ended, self.trees, strict=True):
            assert host.code == code, host.log
            assert tree.failure.startswith(reason)
            assert tree.failure.partition(": ")[2] == host.last.partition(": ")[2]
        assert self.trees[0].failure == self.trees[1].failure


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_two_hosts_train_what_one_does_with_twice_the_batch(pair: Pair, tmp_path: Path) -> None:
    pair.hyperparameters(epochs=2, mini_batch_size=3)  # 7 batches: the second host runs out first
    for host in pair.train():
        assert host.code == 0, host.log
    alone = Tree(tmp_path / "alone")
    alone.numbers("train", *range(1, 21))
    alone.hyperparameters(epochs=2, mini_batch_size=6)
    assert alone.train().code == 0
    assert pair.trees[0].state == pytest.approx(alone.state, rel=1e-12)
    assert not pair.trees[1].model.exists() or not any(pair.trees[1].model.iterdir())


def test_a_user_error_on_one_host_ends_both_with_the_same_message(pair: Pair) -> None:
    pair.trees[1].numbers("train", 1, 2, "three")
    pair.assert_failed(pair.train(), 2, "ClientError: line 3 of train/a.csv is 'three', not a number")


def test_a_wrong_configuration_on_the_first_host_ends_both(pair: Pair) -> None:
    pair.trees[0].hyperparameters(epochs="many")
    pair.assert_failed(pair.train(), 2, "ClientError: hyperparameter epochs='many' is not an integer")


def test_a_wrong_configuration_on_the_other_host_ends_both(pair: Pair) -> None:
    pair.trees[1].hyperparameters(epochs="many")
    pair.assert_failed(pair.train(), 2, "ClientError: hyperparameter epochs='many' is not an integer")


def test_a_fault_before_a_collective_ends_both(pair: Pair) -> None:
    pair.hyperparameters(fail_at=2)
    ended = pair.train()
    pair.assert_failed(ended, 1, "AlgorithmError: ZeroDivisionError: as asked")
    assert "Traceback" in ended[1].log
    assert "Traceback" not in ended[0].log


def test_a_host_that_is_killed_ends_the_other(pair: Pair) -> None:
    pair.trees[0].checkpoints()
    with pair.held(0, "*.ckpt") as processes:
        processes[1].kill()
        end(processes[1])
    assert end(processes[0]).code == 3
    assert pair.trees[0].failure.startswith("PlatformError: another host of the job ended without a word")


def test_sigterm_on_one_host_stops_both_and_both_resume(pair: Pair, tmp_path: Path) -> None:
    values = {"epochs": 2, "mini_batch_size": 1}
    pair.hyperparameters(**values)
    for tree in pair.trees:
        tree.checkpoints()
    with pair.held(1, "toy-1.0-2.ckpt") as processes:
        processes[1].send_signal(signal.SIGTERM)
    for host in [end(process) for process in processes]:
        assert host.code == 0, host.log
        assert "Stopping on SIGTERM after epoch 0" in host.messages
    assert pair.trees[0].state > 0

    resumed = pair.train()
    assert all("Checkpoint loaded from" in host.log for host in resumed)
    undisturbed = Pair(tmp_path / "undisturbed")
    undisturbed.hyperparameters(**values)
    undisturbed.train()
    assert pair.trees[0].state == undisturbed.trees[0].state


def test_hosts_resume_from_the_newest_checkpoint_that_all_have(pair: Pair) -> None:
    pair.hyperparameters(epochs=2)
    for tree in pair.trees:
        tree.checkpoints()
    pair.train()
    state = pair.trees[0].state
    (pair.trees[1].root / "checkpoints/toy-1.2.ckpt").write_bytes(b"torn")
    resumed = pair.train()
    assert all(" at epoch 1" in host.log for host in resumed)
    assert "cannot be read" in resumed[1].log
    assert pair.trees[0].state == state


def test_a_host_that_never_comes_is_named(pair: Pair) -> None:
    ended = pair.trees[0].train(OPTML_PORT=pair.port, OPTML_RENDEZVOUS_TIMEOUT_S="0.5")
    assert ended.code == 3
    assert pair.trees[0].failure.startswith("PlatformError: localhost did not come within 0.5 s")


def test_a_first_host_that_never_comes_is_named(pair: Pair) -> None:
    ended = pair.trees[1].train(OPTML_PORT=pair.port, OPTML_RENDEZVOUS_TIMEOUT_S="0.5")
    assert ended.code == 3
    assert pair.trees[1].failure.startswith("PlatformError: 127.0.0.1, the first host of the job, cannot")


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_host_that_is_frozen_ends_the_other(pair: Pair, frozen: int) -> None:
    pair.trees[frozen].checkpoints()
    with pair.held(frozen, "*.ckpt", OPTML_PEER_TIMEOUT_S="2") as processes:
        processes[frozen].send_signal(signal.SIGSTOP)
    assert end(processes[1 - frozen]).code == 3
    reason = f"PlatformError: {HOSTS[frozen]} has given no sign of life for 2 s"
    assert pair.trees[1 - frozen].failure.startswith(reason)
    processes[frozen].kill()
    end(processes[frozen])
