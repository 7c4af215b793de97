"""Work ahead of its consumer on a thread: reading and decoding overlap the computation."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from optml.algorithms.sources import batches
from optml.container.fifo import StoppedError

if TYPE_CHECKING:
    from optml.algorithms.sources import Data

T = TypeVar("T")

WAKE_S = 0.2  # how soon a consumer that waits notices that the job is being stopped


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def read_ahead(
    produce: Callable[[threading.Event], Generator[T, None, None]],
    *,
    depth: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[T, None, None]:
    """Iterate over `produce(closed)` on a thread of its own, up to `depth` finished items ahead.

    Errors of the producer are raised here. When the consumer closes this iterator, fails, or `stopped()`
    turns true while it waits, `closed` is set, the producer is closed, and its thread ends.
    """
    items: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
    closed = threading.Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            with closing(produce(closed)) as products:
                for item in products:
                    items.put(item)
                    if closed.is_set():
                        return
                    del item  # or it would live on while the next one is made
        except StoppedError:
            pass
        except BaseException as failure:  # the consumer's to handle
            error = failure
        if not closed.is_set():
            items.put(_End(error))

    thread = threading.Thread(target=work, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = items.get(timeout=WAKE_S)
            except queue.Empty:
                if stopped():
                    return
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
            del item
    finally:
        closed.set()
        while not items.empty():  # makes room for the one item that the producer may still hand over
            items.get_nowait()
        thread.join()


@dataclass(frozen=True, slots=True)
class Ahead:
    """A channel's batches (`algorithms.sources.Data`), `depth` of them made ahead of the learner."""

    data: Data
    depth: int
    stopped: Callable[[], bool]

    def epoch(self, number: int) -> Iterator[Any]:
        return self.epoch_from(number, 0)

    def epoch_from(self, number: int, first: int) -> Iterator[Any]:
        def produce(closed: threading.Event) -> Generator[Any, None, None]:
            for batch in batches(self.data, number, first):
                if closed.is_set():
                    return
                yield batch

        return read_ahead(produce, depth=self.depth, stopped=self.stopped)
