"""Who runs when: jobs wait for a slot, first come, first served."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from optml.local.control.resources import Resource

if TYPE_CHECKING:
    from optml.local.control.context import Context

log = logging.getLogger(__name__)


class Run(Protocol):
    """What is done about one job."""

    @property
    def started(self) -> bool:
        """Does it run already, without this process?"""

    def run(self, closing: threading.Event) -> None: ...
    def stop(self) -> None: ...


MakeRun = Callable[[Resource], Run]


class Scheduler:
    """Runs each job on a thread of its own. `kinds`: for each kind of job what makes its run.   slots: how
    many run at once."""

    def __init__(self, context: Context, kinds: dict[str, MakeRun], slots: int) -> None:
        self._context = context
        self._slots = slots
        self._kinds = kinds
        self._running: dict[tuple[str, str], Run] = {}
        self._threads: set[threading.Thread] = set()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        """Take up the jobs that run already, whatever the slots; then start those that wait."""
        for kind, name in self._open():
            job = self._context.resources.get(kind, name)
            if job is not None and (run := self._kinds[kind](job)).started:
                self._begin(kind, name, run)
        self._thread.start()

    def wake(self) -> None:
        """There is a new job."""
        with self._changed:
            self._changed.notify()

    @property
    def busy(self) -> int:
        return len(self._running)

    @property
    def full(self) -> bool:
        return len(self._running) >= self._slots

    def stop(self, kind: str, name: str) -> bool:
        """Stop a job that runs; False: it does not."""
        run = self._running.get((kind, name))
        if run is not None:
            run.stop()
        return run is not None

    def close(self) -> None:
        """End the threads; jobs with supervisors run on."""
        self._closing.set()
        self.wake()
        self._thread.join()
        for thread in list(self._threads):
            thread.join()

    def _loop(self) -> None:
        while not self._closing.is_set():
            with self._changed:
                free = self._slots - len(self._running)
                waiting = [key for key in self._open() if key not in self._running] if free > 0 else []
                if not waiting:
                    self._changed.wait()
                    continue
            for kind, name in waiting[:free]:
                job = self._context.resources.get(kind, name)
                if job is not None:
                    self._begin(kind, name, self._kinds[kind](job))

    def _begin(self, kind: str, name: str, run: Run) -> None:
        def work() -> None:
            try:
                run.run(self._closing)
            except Exception:
                log.exception("%s %s", kind, name)
            finally:
                with self._changed:
                    self._running.pop((kind, name), None)
                    self._changed.notify()
                self._threads.discard(threading.current_thread())

        self._running[kind, name] = run
        thread = threading.Thread(target=work, name=f"{kind} {name}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _open(self) -> list[tuple[str, str]]:
        """Jobs that have not ended, oldest first."""
        marks = ", ".join("?" * len(self._kinds))
        return self._context.database.rows(
            f"SELECT kind, name FROM resources WHERE kind IN ({marks})"  # noqa: S608
            " AND status IN ('InProgress', 'Stopping') ORDER BY number",
            tuple(self._kinds),
        )
