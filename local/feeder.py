"""The other end of Pipe mode: what the platform does, for local runs, tests and benchmarks."""

from __future__ import annotations

import os
import random
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from optml.errors import UserError
from optml.formats.compression import MAGIC, decompressed

# What goes into a Pipe together, whatever the order: files and texts, such as the attributes of one line of
# an augmented manifest.
Unit = tuple[Path | bytes, ...]

_PIECE = 1 << 20  # bytes handed over at a time
_POLL = 0.01  # seconds


class Feeder:
    """Serves a channel through FIFOs `<data>/<channel>_<n>` until it is stopped, or `epochs` are through.

    Each epoch is all `sources` one after the other with nothing in between, gzip removed; a folder stands for
    its files in order of their paths. `wrapped`: each file and text is a RecordIO record of its own.
    `shuffle`: a seed; each epoch has an order of its own. A reader that closes early begins the
    next epoch with the next FIFO.
    Use as a context manager; leaving it removes the FIFO that nobody read. A source that cannot be read ends
    the feeding: the reason is kept as `failure` and handed to `on_failure`, on the feeder's thread.
    """

    def __init__(
        self,
        data: Path,
        channel: str,
        sources: Sequence[Path | Unit],
        *,
        wrapped: bool = False,
        shuffle: int | None = None,
        epochs: int | None = None,
        on_failure: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self._data = data
        self._channel = channel
        self._units: list[Unit] = []
        for source in sources:
            self._units += [source] if isinstance(source, tuple) else [(file,) for file in files(source)]
        self._wrapped = wrapped
        self._order = None if shuffle is None else random.Random(shuffle)  # noqa: S311
        self._epochs = epochs
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feeder of {channel}", daemon=True)
        self._on_failure = on_failure
        self.failure: OSError | UserError | None = None

    def __enter__(self) -> Feeder:
        self._data.mkdir(parents=True, exist_ok=True)
        os.mkfifo(self.path(0))  # here already, so that the channel exists when the reader starts
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def path(self, epoch: int) -> Path:
        return self._data / f"{self._channel}_{epoch}"

    def _run(self) -> None:
        epoch = 0
        while not self._stopped.is_set():
            fifo = self._open(self.path(epoch))
            if fifo is None:
                break
            last = self._epochs is not None and epoch + 1 >= self._epochs
            try:
                if not last:  # before the end of this one, so that the reader finds it at once
                    os.mkfifo(self.path(epoch + 1))
                if self._order is not None:
                    self._order.shuffle(self._units)
                for item in (item for unit in self._units for item in unit):
                    if self._stopped.is_set():
                        break
                    self._pour(item, fifo)
            except BrokenPipeError:
                pass  # the reader has had enough of this epoch
            except (OSError, UserError) as error:
                self.failure = error
                self._on_failure(error)
                return
            finally:
                os.close(fifo)
            self.path(epoch).unlink(missing_ok=True)
            epoch += 1
            if last:
                return
        self.path(epoch).unlink(missing_ok=True)

    def _open(self, path: Path) -> int | None:
        """The FIFO, once somebody reads it; None when stopped before."""
        while not self._stopped.is_set():
            try:
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # ENXIO: no reader yet
                self._stopped.wait(_POLL)
        return None

    def _pour(self, item: Path | bytes, fifo: int) -> None:
        """Write one file or text to the FIFO, or what of it there is time for before a stop."""
        if self._wrapped:
            from optml.formats.recordio import frame

            self._write(frame(item if isinstance(item, bytes) else _content(item)), fifo)
        elif isinstance(item, bytes):
            self._write(item, fifo)
        else:
            self._pour_file(item, fifo)

    def _pour_file(self, file: Path, fifo: int) -> None:
        with file.open("rb") as source:
            head = source.read(len(MAGIC))
            source.seek(0)
            if head != MAGIC:
                offset = 0
                while self._ready(fifo) and (count := _send(source, fifo, offset)) != 0:
                    offset += max(count, 0)
                return
            plain = decompressed(source, source=str(file))
            while not self._stopped.is_set() and (piece := plain.read(_PIECE)):
                self._write(piece, fifo)

    def _write(self, piece: bytes, fifo: int) -> None:
        view = memoryview(piece)
        while view and self._ready(fifo):
            with suppress(BlockingIOError):
                view = view[os.write(fifo, view) :]

    def _ready(self, fifo: int) -> bool:
        """Wait until the FIFO takes data; False when stopped. A reader may pause for as long as it likes."""
        poll = select.poll()
        poll.register(fifo, select.POLLOUT)
        while not self._stopped.is_set():
            if poll.poll(_POLL * 1000):
                return True
        return False


def files(source: Path) -> Iterator[Path]:
    """The files of a folder in the order of their paths, hidden and `_` ones left out; or the file itself."""
    if not source.is_dir():
        yield source
        return
    for path in sorted(source.rglob("*")):
        hidden = any(part.startswith((".", "_")) for part in path.relative_to(source).parts)
        if path.is_file() and not hidden:
            yield path


def _content(file: Path) -> bytes:
    """All of a file, gzip removed."""
    with file.open("rb") as source:
        head = source.read(len(MAGIC))
        source.seek(0)
        if head != MAGIC:
            return source.read()
        plain = decompressed(source, source=str(file))
        return b"".join(iter(lambda: plain.read(_PIECE), b""))


def _send(source: BinaryIO, fifo: int, offset: int) -> int:
    """Move a piece of the file into the FIFO; how many bytes went: 0 at the end, -1 for a full FIFO."""
    try:
        return os.sendfile(fifo, source.fileno(), offset, _PIECE)
    except BlockingIOError:
        return -1
