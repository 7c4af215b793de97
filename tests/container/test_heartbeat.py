"""Signs of life between threads that share a store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace

import pytest

from optml.container import heartbeat
from optml.container.heartbeat import Heartbeat


class Store:
    """What a heartbeat asks of torch's TCPStore. Unless `open`, it answers no call: its host is frozen."""

    def __init__(self) -> None:
        self.counts = {"beat/0": 1, "beat/1": 1}
        self.told: bytes | None = None
        self.open = Event()
        self.open.set()

    def add(self, key: str, amount: int) -> int:
        self.open.wait()
        self.counts[key] += amount
        return self.counts[key]

    def check(self, keys: list[str]) -> bool:
        return self.told is not None

    def get(self, key: str) -> bytes:
        assert self.told is not None
        return self.told


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(heartbeat, "PAUSE", 0.001)
    made = Store()
    yield made
    made.open.set()


def until_frozen(heart: Heartbeat) -> list[int]:
    while not (frozen := heart.frozen()):
        time.sleep(0.001)
    return frozen


def test_a_process_that_stops_counting_is_frozen_and_one_that_counts_is_not(store: Store) -> None:
    store.counts["beat/2"] = 1
    hearts = [Heartbeat(store, rank, 3, limit=1.0) for rank in range(2)]
    assert until_frozen(hearts[0]) == [2]
    for heart in hearts:
        heart.end()


def test_a_process_that_has_not_come_is_missing_not_frozen(store: Store) -> None:
    store.counts["beat/2"] = 0
    heart = Heartbeat(store, 0, 3, limit=0.05)
    assert until_frozen(heart) == [1]
    assert heart.missing() == [2]
    heart.end()


def test_of_a_store_that_says_nothing_the_first_process_is_blamed(store: Store) -> None:
    heart = Heartbeat(store, 1, 2, limit=0.2)
    store.open.clear()
    assert until_frozen(heart) == [0]


def test_who_was_frozen_itself_has_not_waited_for_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearts = [Heartbeat(store, rank, 2, limit=60) for rank in range(2)]
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 7200)
    monkeypatch.setattr(heartbeat, "time", later)
    assert hearts[0].frozen() == []
    rounds = store.counts["beat/0"]
    while store.counts["beat/0"] < rounds + 3:
        time.sleep(0.001)
    assert hearts[0].frozen() == []
    for heart in hearts:
        heart.end()


def test_what_another_process_tells_is_heard(store: Store) -> None:
    heart = Heartbeat(store, 0, 2, limit=60)
    store.told = b"{}"
    while heart.failure is None:
        time.sleep(0.001)
    heart.end()
