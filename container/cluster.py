"""The processes of one job: one on each host, or one for each GPU of a host.

They meet at a store that the first of them serves on port `OPTML_PORT` (7777). The store carries what is
said seldom: who is there and alive (`heartbeat.py`), and that somebody failed. What is said often goes
through torch.distributed: gloo, or NCCL where the learners run on GPUs. torch is imported only here, and only
for two processes or more.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import asdict
from datetime import timedelta
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from optml.container.errors import Failure, JobFailedError, explain
from optml.container.group import Alone, Group
from optml.container.heartbeat import Heartbeat
from optml.container.rendezvous import Place, number, serve_or_find
from optml.errors import PlatformError

PATIENCE = timedelta(hours=2)  # that one process may be ahead of another, both alive, in a collective
LIBRARY = 5.0  # seconds that a library's own collective gets to say itself what went wrong
LINGER = 60.0  # seconds that the store outlives a failure, so that hosts busy computing hear of it
HEADER = 96  # bytes that describe an array: dtype and shape

# What gloo and NCCL can add up; other types travel as one of these.
SUMMABLE = {"f2", "f4", "f8", "i1", "u1", "i4", "i8"}


def connect(place: Place, *, problem: Failure | None = None, device: str = "cpu") -> Group:
    """Join the other processes of the job; every process calls it, also one that cannot go on.

    `problem` is what is wrong on this host so far (its configuration, say): it is told to all the others, and
    all raise JobFailedError. Raises PlatformError naming the hosts that did not come within
    `OPTML_RENDEZVOUS_TIMEOUT_S` (300) seconds. Later, a process that gives no sign of life for
    `OPTML_PEER_TIMEOUT_S` (300) seconds ends the job.
    """
    if place.size == 1:
        if problem:
            raise JobFailedError(problem)
        return Alone(place.label)
    limit = number("OPTML_RENDEZVOUS_TIMEOUT_S", 300)
    silence = number("OPTML_PEER_TIMEOUT_S", 300)
    group = Processes(place, serve_or_find(place, time.monotonic() + limit), device, silence)
    try:
        group.meet(problem, limit)
    except (JobFailedError, PlatformError) as error:
        raise JobFailedError(group.tell(explain(error))) from error
    return group


class Processes(Group):
    """Two or more processes, joined by torch.distributed. Collectives are called by the main thread.

    Sums are deterministic: the same inputs give the same bits on every rank and in every run.
    """

    def __init__(self, place: Place, store: Any, device: str, silence: float) -> None:
        self.rank = place.rank
        self.size = place.size
        self.local = place.local
        self.processes = place.processes
        self.host = place.label
        self.leader = str(store.host)
        self._place = place
        self._store = store
        self._device = device
        self._silence = silence
        self._lost = False  # another process is gone, or never came
        own = type(store)(store.host, store.port, is_master=False, wait_for_workers=False)
        self._heartbeat = Heartbeat(own, self.rank, self.size, silence)

    def meet(self, problem: Failure | None, limit: float) -> None:
        """Wait for all, then build the process group; raises JobFailedError if any of them has a problem."""
        if problem:
            raise JobFailedError(problem)
        self._torch: Any = import_module("torch")
        self._dist: Any = import_module("torch.distributed")
        deadline = time.monotonic() + limit
        while missing := self._heartbeat.missing():
            self._listen()
            if time.monotonic() > deadline:
                self._lost = True
                raise PlatformError(
                    f"{self._names(missing)} did not come within {limit:g} s; "
                    "are all hosts of resourceconfig.json running, and does their network let them through?"
                )
            time.sleep(0.02)
        self._listen()
        self._choose_interface()
        if self._device != "cpu":
            self._torch.cuda.set_device(self._device)
        self._build()

    def _build(self) -> None:
        """Build the process group, on a thread: a call that waits for a frozen peer cannot be left."""
        ended: Future[None] = Future()

        def build() -> None:
            try:
                if self._device != "cpu":  # of each thread its own
                    self._torch.cuda.set_device(self._device)
                self._dist.init_process_group(
                    "gloo" if self._device == "cpu" else "nccl",
                    store=self._dist.PrefixStore("group", self._store),
                    rank=self.rank,
                    world_size=self.size,
                    timeout=PATIENCE,
                )
            except BaseException as error:
                ended.set_exception(error)
            else:
                ended.set_result(None)

        threading.Thread(target=build, name="process group", daemon=True).start()
        with self._explained():
            while True:
                with contextlib.suppress(TimeoutError):
                    return ended.result(timeout=1.0)
                self._listen()

    def all_sum(self, *arrays: np.ndarray) -> None:
        """One collective for all arrays of a dtype."""
        for kind, group in groupby(sorted(arrays, key=_wire), key=_wire):
            same = list(group)
            if len(same) == 1 and same[0].dtype == kind:
                packed = same[0].reshape(-1)  # a view: summed in place
            else:
                packed = np.concatenate([array.reshape(-1) for array in same], dtype=kind, casting="unsafe")
            if not packed.size:
                continue
            tensor = self._tensor(packed)
            self.sum_beside(tensor)()
            summed = tensor.cpu().numpy()
            start = 0
            for array in same:
                if not np.shares_memory(array, summed):
                    array[...] = summed[start : start + array.size].reshape(array.shape)
                start += array.size

    def gather(self, array: np.ndarray) -> list[np.ndarray]:
        header = _describe(array)
        headers = self._gather_bytes(header)
        sizes = [_blank(header).nbytes for header in headers]
        padded = np.zeros(max(sizes), np.uint8)
        padded[: array.nbytes] = _bytes(array)
        arrays = []
        for header, content in zip(headers, self._gather_bytes(padded), strict=True):
            blank = _blank(header)
            _bytes(blank)[:] = content[: blank.nbytes]
            arrays.append(blank)
        return arrays

    def broadcast(self, array: np.ndarray, source: int = 0) -> np.ndarray:
        header = self._broadcast_bytes(_describe(array), source)
        if self.rank == source:
            self._broadcast_bytes(_bytes(array).copy(), source)
            return array
        blank = _blank(header)
        _bytes(blank)[:] = self._broadcast_bytes(np.empty(blank.nbytes, np.uint8), source)
        return blank

    def sum_beside(self, tensor: Any) -> Callable[[], None]:
        with self._explained():
            work = self._dist.all_reduce(tensor, async_op=True)
        return lambda: self._finish(work)

    def tell(self, failure: Failure) -> Failure:
        if 0 in self._heartbeat.frozen():  # the store would not answer
            return failure
        text = json.dumps({**asdict(failure), "traceback": ""})
        try:
            first: bytes = self._store.compare_set("failure", "", text)
            cause = failure if first.decode() == text else Failure(**json.loads(first))
            self._store.add("told", 1)
        except (RuntimeError, ValueError):  # the first process is gone, and the store with it
            return failure
        if self.rank == 0:  # without the store nobody would hear of it; the dead never will
            self._linger("told", 5.0 if self._lost else LINGER)
        return cause

    @contextlib.contextmanager
    def watched(self, alarm: Callable[[Exception], None]) -> Iterator[None]:
        over = threading.Event()

        def watch() -> None:
            while not over.wait(1.0):
                try:
                    self._listen()
                except (JobFailedError, PlatformError) as error:
                    if not over.wait(LIBRARY):
                        alarm(error)
                    return

        threading.Thread(target=watch, name="watch", daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def close(self) -> None:
        self.all_sum(np.zeros(1))
        self._heartbeat.end()
        with contextlib.suppress(RuntimeError):
            self._store.add("done", 1)
            if self.rank == 0:
                self._linger("done", LINGER)
            self._dist.destroy_process_group()

    def _linger(self, key: str, seconds: float) -> None:
        """Serve the store until every process has counted itself under `key`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._store.add(key, 0) < self.size:
            time.sleep(0.02)

    def _listen(self) -> None:
        """Raise JobFailedError if another process has told of one, PlatformError if one is gone or frozen."""
        heard = self._heartbeat
        if heard.failure is not None:
            raise JobFailedError(Failure(**json.loads(heard.failure)))
        if heard.lost:
            raise PlatformError(f"lost the connection to {self._place.hosts[0]}, the first host")
        frozen = heard.frozen()
        if frozen:
            self._lost = True
            raise PlatformError(
                f"{self._names(frozen)} has given no sign of life for {self._silence:g} s: its machine "
                "hangs, or its container is paused or cut off from the network"
            )

    def _names(self, ranks: list[int]) -> str:
        """The hosts of these processes."""
        return ", ".join(sorted({self._place.hosts[rank // self._place.processes] for rank in ranks}))

    def _finish(self, work: Any) -> None:
        """Wait for a collective, listening meanwhile."""
        with self._explained():
            if self._device == "cpu":
                done = threading.Event()  # unlike work.wait(), lets signal handlers run
                work.get_future().then(lambda _: done.set())
                while not done.wait(1.0):
                    self._listen()
                work.wait()
                return
            pause = 1e-5
            while not work.is_completed():
                time.sleep(pause)
                pause = min(pause * 2, 0.01)
                if pause == 0.01:
                    self._listen()
            work.wait()  # from here on, what the device computes comes after it

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """A lost connection is most often another process that has failed and ended: what it had to say is
        waited for."""
        try:
            yield
        except RuntimeError as error:
            self._lost = True
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                self._listen()
                time.sleep(0.1)
            said = " ".join(str(error).split("] ", 1)[-1].split(". ")[0].split())
            raise PlatformError(
                f"another host of the job ended without a word or cannot be reached ({said}); see its log"
            ) from error

    def _tensor(self, array: np.ndarray) -> Any:
        return self._torch.from_numpy(array).to(self._device)

    def _gather_bytes(self, array: np.ndarray) -> list[np.ndarray]:
        if not array.size:
            return [array] * self.size
        tensor = self._tensor(array)
        parts = [self._torch.empty_like(tensor) for _ in range(self.size)]
        with self._explained():
            work = self._dist.all_gather(parts, tensor, async_op=True)
        self._finish(work)
        return [part.cpu().numpy() for part in parts]

    def _broadcast_bytes(self, array: np.ndarray, source: int) -> np.ndarray:
        if not array.size:
            return array
        tensor = self._tensor(array)
        with self._explained():
            work = self._dist.broadcast(tensor, source, async_op=True)
        self._finish(work)
        received: np.ndarray = tensor.cpu().numpy()
        return received

    def _choose_interface(self) -> None:
        """gloo and NCCL take the interface of the job's network, where it exists: SDK v3's local mode names
        one that does not."""
        name = "lo" if len(self._place.hosts) == 1 else self._place.interface
        if name and Path("/sys/class/net", name).exists():
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def _wire(array: np.ndarray) -> str:
    """The type as which an array is summed: its own, or one wide enough that gloo and NCCL know."""
    kind = array.dtype.str[1:]
    if kind in SUMMABLE:
        return array.dtype.str
    return "<i8" if array.dtype.kind in "biu" else "<f8"


def _describe(array: np.ndarray) -> np.ndarray:
    """An array's dtype and shape as bytes."""
    text = json.dumps([array.dtype.str, *array.shape]).encode()
    assert len(text) <= HEADER, "more dimensions than a header holds"
    return np.frombuffer(text.ljust(HEADER), np.uint8).copy()


def _blank(header: np.ndarray) -> np.ndarray:
    """An array as described."""
    kind, *shape = json.loads(header.tobytes())
    return np.empty(shape, kind)


def _bytes(array: np.ndarray) -> np.ndarray:
    """An array's bytes, without a copy where it is contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
