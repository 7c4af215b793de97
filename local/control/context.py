"""What all parts of the control plane stand on: its home, its database, S3, and the event loop."""

from __future__ import annotations

import asyncio
import fcntl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from optml import cpus
from optml.errors import PlatformError
from optml.local.control.database import Database
from optml.local.control.home import Home
from optml.local.control.programs import Engine, Programs
from optml.local.control.resources import Resources
from optml.local.control.s3.content import Contents
from optml.local.control.s3.multipart import Uploads
from optml.local.control.s3.store import Store

_T = TypeVar("_T")

PORT = 45660


@dataclass(frozen=True, slots=True)
class Options:
    """How a control plane runs. slots: jobs at once; None: one per two processors.   verify: the key and the
    secret that requests must be signed with; None: any.   buckets: folders shown as buckets.   limits: hold
    tuning jobs against the limits of AWS's accounts."""

    host: str = "127.0.0.1"
    port: int = PORT
    slots: int | None = None
    engine: Engine = "auto"
    verify: tuple[str, str] | None = None
    buckets: Mapping[str, Path] = field(default_factory=dict)
    limits: bool = True


class Context:
    """One in a home: raises PlatformError where another runs there."""

    def __init__(self, home: Home, options: Options) -> None:
        home.make()
        self._lock = home.lock.open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise PlatformError(
                f"a control plane runs already in {home.root}; OPTML_HOME names another folder"
            ) from None
        self.home = home
        self.options = options
        self.started = time.time()
        self.slots = options.slots or max(1, cpus.count() // 2)
        self.database = Database(home.database)
        self.resources = Resources(self.database)
        contents = Contents(home, self.database)
        contents.recover()
        self.s3 = Store(self.database, contents, options.buckets)
        self.uploads = Uploads(self.database, self.s3)
        self.programs = Programs(options.engine)
        self.pool = ThreadPoolExecutor(32, "work")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: int | None = None

    @property
    def url(self) -> str:
        return f"http://{self.options.host}:{self.options.port}"

    def attach(self) -> None:
        """On the event loop that serves requests."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()

    def release(self) -> None:
        """The end: another may run in this home."""
        self.pool.shutdown(cancel_futures=True)
        self.s3.contents.close()
        self.database.close()
        self._lock.close()

    def in_loop(self, function: Callable[[], _T]) -> _T:
        """Call a function on the event loop, between two requests' steps; its result."""
        if threading.get_ident() == self._loop_thread or self._loop is None:
            return function()
        done: Future[_T] = Future()

        def call() -> None:
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return done.result()
