"""The threads that touch files and the database, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from io import FileIO
from typing import Any, TypeVar

_T = TypeVar("_T")
_READ = 1 << 18  # bytes of an object that are read at a time: some of each reader wait to be sent


class Worker:
    """`pool`: of the threads."""

    def __init__(self, pool: Executor) -> None:
        self.pool = pool

    async def run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    async def pieces(self, file: FileIO, first: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `first` to before `end`; the file is closed behind them."""
        number = file.fileno()
        try:
            while first < end:
                piece = await self.run(os.pread, number, min(_READ, end - first), first)
                if not piece:
                    raise OSError("a file of the store is shorter than it was")
                first += len(piece)
                yield piece
        finally:
            file.close()
