from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing

import pytest

from optml.container.fifo import StoppedError
from optml.container.readahead import Ahead, read_ahead
from optml.errors import UserError


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@pytest.fixture(autouse=True)
def _no_reader_is_left() -> Iterator[None]:
    yield
    assert not readers()


def test_items_come_in_order() -> None:
    assert list(read_ahead(lambda closed: (i for i in range(1000)))) == list(range(1000))


def test_the_producer_works_ahead_but_not_without_bound() -> None:
    made: list[int] = []

    def produce(closed: threading.Event) -> Generator[int, None, None]:
        for i in range(10):
            made.append(i)
            yield i

    with closing(read_ahead(produce, depth=2)) as items:
        assert next(items) == 0
        while len(made) < 4:
            time.sleep(0.001)
        time.sleep(0.05)  # for more, which must not come
        assert made == [0, 1, 2, 3]  # one consumed, two queued, one in hand


def test_an_error_of_the_producer_is_raised_to_the_consumer_after_what_came_before() -> None:
    def produce(closed: threading.Event) -> Generator[int, None, None]:
        yield 1
        raise UserError("row 2 of train/a.csv is bad")

    items = read_ahead(produce)
    assert next(items) == 1
    with pytest.raises(UserError, match="row 2 of"):
        next(items)


@pytest.mark.parametrize("depth", [1, 3])
def test_closing_early_closes_the_producer(depth: int) -> None:
    ended = threading.Event()

    def produce(closed: threading.Event) -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            ended.set()

    with closing(read_ahead(produce, depth=depth)) as items:
        next(items)
    assert ended.is_set()


def test_an_error_of_the_consumer_ends_the_producer() -> None:
    def consume() -> None:
        with closing(read_ahead(lambda closed: (i for i in range(10**9)))) as items:
            for _ in items:
                raise KeyError("consumer")

    with pytest.raises(KeyError):
        consume()


def test_a_waiting_consumer_notices_that_the_job_is_stopped() -> None:
    stopped = threading.Event()

    def produce(closed: threading.Event) -> Generator[int, None, None]:
        yield 1
        closed.wait()
        raise StoppedError

    threading.Timer(0.1, stopped.set).start()
    assert list(read_ahead(produce, stopped=stopped.is_set)) == [1]


def test_nothing_is_started_before_the_first_item_is_asked_for() -> None:
    items = read_ahead(lambda closed: (i for i in range(3)))
    assert not readers()
    items.close()


def test_batches_are_made_ahead_of_the_learner() -> None:
    started = threading.Event()

    class Batches:
        def epoch(self, number: int) -> Iterator[int]:
            yield number
            started.set()
            yield number + 1

    batches = iter(Ahead(Batches(), 2, lambda: False).epoch(5))
    assert next(batches) == 5
    assert started.wait(10)  # the second one is made while the first is learned from
    assert list(batches) == [6]
