"""Between the threads that talk HTTP and the model: one inference at a time, a bounded queue, a deadline.

On a CPU requests pass a `Gate` one by one: a vectorised model answers a small request in less time than
handing it to another thread takes. On a GPU the `Batcher` joins what waits, for one kernel launch costs as
much as another.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import Any, Protocol

import numpy as np

from optml.deadline import Overdue, check, until
from optml.formats.records import Columns, Records, concatenate
from optml.serving import metrics
from optml.serving.errors import RequestError, busy, too_long
from optml.serving.served import Served
from optml.serving.settings import Settings

LIGHT = 0.001  # seconds of computing that are not worth waiting in line for
RUN = 8192  # records that are computed at a time: after each run a request that is too late ends


class Queue(Protocol):
    """Where a request waits for its inference."""

    def predict(self, served: Served, records: Any, options: Mapping[str, str], deadline: float) -> Columns:
        """`served.model.predict(records, options)`, when it is this request's turn.

        Raises RequestError (503) if too many requests wait already, or if it is not done by `deadline`
        (`time.monotonic()`), when work on it ends too; and whatever the model raises.
        """


def overtaken() -> RequestError:
    return busy("the request takes longer than a client waits")


class Gate:
    """Lets one inference through at a time, for kernels use all cores that their process has; one that takes
    less than a lock costs under load passes beside."""

    def __init__(self, max_queue: int, max_answer: int = Settings.max_answer) -> None:
        self._max_answer = max_answer
        self._turn = Lock()
        self._max_queue = max_queue
        self._waiting = 0
        self._count = Lock()

    def predict(self, served: Served, records: Any, options: Mapping[str, str], deadline: float) -> Columns:
        count = len(records)
        began = start = time.perf_counter()
        if count * served.seconds < LIGHT:
            answer = served.model.predict(records, options)
        else:
            if not self._turn.acquire(blocking=False):
                self._wait(deadline)
            try:
                start = time.perf_counter()
                answer = _predict(served, records, options, deadline, self._max_answer)
            finally:
                self._turn.release()
        metrics.QUEUED.observe(start - began)
        metrics.COMPUTED.observe(time.perf_counter() - start)
        metrics.RECORDS.observe(count)
        return answer

    def _wait(self, deadline: float) -> None:
        with self._count:
            if self._waiting >= self._max_queue:
                raise busy(f"{self._waiting} requests wait already")
            self._waiting += 1
            metrics.gauge("queue_depth", self._waiting)
        try:
            if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
                raise overtaken()
        finally:
            with self._count:
                self._waiting -= 1
                metrics.gauge("queue_depth", self._waiting)


def _predict(served: Served, records: Any, options: Mapping[str, str], deadline: float, most: int) -> Columns:
    """The model's answer, computed in runs of records where a batch can be cut.

    Raises RequestError: 503 at the deadline, 413 for an answer that would take more than `most` bytes.
    """
    cut = hasattr(records, "__getitem__") and len(records) > RUN
    runs = (records[start : start + RUN] for start in range(0, len(records), RUN)) if cut else [records]
    answers = []
    size = 0
    try:
        with until(deadline):
            for run in runs:
                check()
                answers.append(served.model.predict(run, options))
                size += sum(map(_size, answers[-1].values()))
                if size > most:
                    raise too_long(most)
    except Overdue:
        raise overtaken() from None
    if len(answers) == 1:
        return answers[0]
    return {name: _put_together([answer[name] for answer in answers]) for name in answers[0]}


def _size(column: np.ndarray) -> int:
    """Bytes of a column, of which its text takes no fewer, or hardly."""
    if column.dtype != object:
        return int(column.nbytes)
    return sum(len(value) if isinstance(value, str) else 8 * np.size(value) for value in column.tolist())


def _put_together(columns: Sequence[np.ndarray]) -> np.ndarray:
    """One behind the other, masked where they are."""
    masked = any(map(np.ma.isMaskedArray, columns))
    joined: np.ndarray = (np.ma.concatenate if masked else np.concatenate)(columns)
    return joined


@dataclass(slots=True)
class _Job:
    served: Served
    records: Any
    options: Mapping[str, str]
    deadline: float
    began: float = field(default_factory=time.perf_counter)
    answer: Future[Columns] = field(default_factory=Future)

    def joins(self, other: _Job) -> bool:
        """Can both be answered by one call?"""
        if self.served is not other.served or self.options != other.options:
            return False
        if self.served.algorithm.inference.join is not None:
            return True
        return (
            isinstance(self.records, Records)  # others are not known to join
            and self.records.width == other.records.width
            and type(self.records.features) is type(other.records.features)
        )


class Batcher:
    """One thread that answers as many waiting requests as fit into a batch with one call of the model.

    A request whose records the model refuses fails alone: its batch is then answered one by one.
    """

    def __init__(
        self, max_records: int, max_delay: float, max_queue: int, max_answer: int = Settings.max_answer
    ) -> None:
        self._max_answer = max_answer
        self._max_records = max_records
        self._max_delay = max_delay
        self._max_queue = max_queue
        self._jobs: deque[_Job] = deque()
        self._changed = Condition()
        Thread(target=self._run, name="inference", daemon=True).start()

    def predict(self, served: Served, records: Any, options: Mapping[str, str], deadline: float) -> Columns:
        job = _Job(served, records, options, deadline)
        with self._changed:
            if len(self._jobs) >= self._max_queue:
                raise busy(f"{len(self._jobs)} requests wait already")
            self._jobs.append(job)
            metrics.gauge("queue_depth", len(self._jobs))
            self._changed.notify()
        return job.answer.result()

    def _run(self) -> None:
        while True:
            batch = self._collect()
            start = time.perf_counter()
            for job in batch:
                metrics.QUEUED.observe(start - job.began)
            _answer(batch, self._max_answer)

    def _collect(self) -> list[_Job]:
        """Wait for a request, and for others until the batch is full or the first has waited long enough."""
        with self._changed:
            while not self._jobs:
                self._changed.wait()
            until = self._jobs[0].began + self._max_delay
            while (left := until - time.perf_counter()) > 0 and self._waiting_records() < self._max_records:
                self._changed.wait(left)
            batch: list[_Job] = []
            others: list[_Job] = []
            size = 0
            while self._jobs:
                job = self._jobs.popleft()
                if time.monotonic() > job.deadline:  # its client has gone
                    job.answer.set_exception(overtaken())
                elif not batch or (job.joins(batch[0]) and size + len(job.records) <= self._max_records):
                    batch.append(job)
                    size += len(job.records)
                else:
                    others.append(job)
            self._jobs.extend(others)
            metrics.gauge("queue_depth", len(others))
            return batch

    def _waiting_records(self) -> int:
        return sum(len(job.records) for job in self._jobs)


def _joined(batch: list[_Job]) -> Any:
    join = batch[0].served.algorithm.inference.join or concatenate
    return batch[0].records if len(batch) == 1 else join([job.records for job in batch])


def _answer(batch: list[_Job], most: int) -> None:
    if not batch:
        return
    first = batch[0]
    start = time.perf_counter()
    try:
        deadline = max(job.deadline for job in batch)
        answer = _predict(first.served, _joined(batch), first.options, deadline, most)
    except BaseException as error:
        if len(batch) == 1:
            first.answer.set_exception(error)
        else:
            for job in batch:
                _answer([job], most)
        return
    metrics.COMPUTED.observe(time.perf_counter() - start)
    metrics.RECORDS.observe(sum(len(job.records) for job in batch))
    row = 0
    for job in batch:
        stop = row + len(job.records)
        job.answer.set_result({name: column[row:stop] for name, column in answer.items()})
        row = stop
