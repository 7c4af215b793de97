"""Signs of life between the processes of a job.

A host that is frozen (a machine that hangs, a container that was paused) keeps its connections open: who
waits for it in a collective cannot tell it from one that computes. So each process counts up a number of its
own in the job's store, from a thread beside its work; kernels and libraries release the interpreter's lock
while they compute, so that slow work does not look frozen.
"""

from __future__ import annotations

import threading
import time
from typing import Any

PAUSE = 1.0  # seconds between two signs of life
HURRY = 0.02  # the same until every process has given its first
STEP = 5.0  # seconds that count at most between two signs: who was frozen itself has not waited meanwhile


class Heartbeat:
    """One process' signs of life, and what it hears of the others. Its connection to the store is its own: a
    store that is frozen answers no call, and nobody but the thread may wait for it.

    limit: seconds without a sign after which a process is taken for frozen.
    """

    def __init__(self, store: Any, rank: int, size: int, limit: float) -> None:
        self.failure: str | None = None  # what a process has told of its failure
        self.lost = False  # the store is gone
        self._store = store
        self._rank = rank
        self._limit = limit
        self._counts = [0] * size
        self._silence = [0.0] * size  # seconds since the last sign of each process
        self._rounds = self._rounds_seen = 0  # answers of the store
        self._mute = 0.0  # seconds since its last one
        self._looked = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def missing(self) -> list[int]:
        """The ranks that have given no sign of life yet."""
        return [rank for rank, count in enumerate(self._counts) if not count]

    def frozen(self) -> list[int]:
        """The ranks that are taken for frozen. To be asked every few seconds by who waits: without an answer
        of the store, which the first process serves, nothing is known of the others."""
        now = time.monotonic()
        waited, self._looked = min(now - self._looked, STEP), now
        rounds, self._rounds_seen = self._rounds_seen, self._rounds
        self._mute = self._mute + waited if rounds == self._rounds_seen else 0.0
        if self._mute >= self._limit:
            return [0]
        return [rank for rank, silence in enumerate(self._silence) if silence >= self._limit]

    def end(self) -> None:
        """Give no more signs of life."""
        self._ended.set()
        self._thread.join(PAUSE)

    def _beat(self) -> None:
        began = time.monotonic()
        try:
            while not self._ended.is_set():
                self._store.add(f"beat/{self._rank}", 1)
                counts = [self._store.add(f"beat/{rank}", 0) for rank in range(len(self._counts))]
                if self._store.check(["failure"]):
                    self.failure = self._store.get("failure").decode()
                now = time.monotonic()
                waited, began = min(now - began, STEP), now
                for rank, (count, before) in enumerate(zip(counts, self._counts, strict=True)):
                    silent = count == before and count > 0
                    self._silence[rank] = self._silence[rank] + waited if silent else 0.0
                self._counts = counts
                self._rounds += 1
                self._ended.wait(PAUSE if all(counts) else HURRY)
        except RuntimeError:  # the first process has ended, and the store with it
            self.lost = True
