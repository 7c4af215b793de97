"""A channel as it is handed to an algorithm that reads its own kind of data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from optml.container.channels import Channel
from optml.container.fifo import StoppedError
from optml.formats.encoding import is_text, stream_as_utf8

T = TypeVar("T")


class Source:
    """One channel (`algorithms.sources.Source`); what it yields ends early once the job is told to stop."""

    def __init__(self, channel: Channel, stopped: Callable[[], bool]) -> None:
        self._channel = channel
        self.stopped = stopped

    @property
    def name(self) -> str:
        return self._channel.name

    @property
    def media(self) -> str | None:
        return self._channel.content_type.media if self._channel.content_type else None

    @property
    def parameters(self) -> Mapping[str, str]:
        return self._channel.content_type.parameters if self._channel.content_type else {}

    @property
    def mode(self) -> str:
        return "Pipe" if self._channel.piped else self._channel.mode

    @property
    def distribution(self) -> str:
        return self._channel.distribution

    @property
    def wrapper(self) -> str:
        return self._channel.wrapper

    @property
    def attributes(self) -> tuple[str, ...]:
        return self._channel.attributes

    def files(self) -> Sequence[tuple[str, Path]] | None:
        if self._channel.piped:
            return None
        names = (f"{self.name}/{key}" for key in self._channel.keys)
        return list(zip(names, self._channel.files, strict=True))

    def streams(self) -> Iterator[tuple[str, BinaryIO]]:
        """One pass over the channel: pairs (name for messages, bytes), of text as UTF-8."""
        return _until_stopped(self._texts())

    def _texts(self) -> Iterator[tuple[str, BinaryIO]]:
        for source, stream in self._channel.streams(_Flag(self.stopped)):
            content_type = self._channel.content_type
            if content_type is not None and is_text(content_type):
                stream = stream_as_utf8(stream, content_type, source)
            yield source, stream

    def examples(self, size: int) -> Iterator[tuple[bytes, ...]]:
        """One pass over an augmented manifest's stream: `size` wrapped records an example."""
        return _until_stopped(self._channel.examples(size, _Flag(self.stopped)))


def _until_stopped(items: Iterator[T]) -> Iterator[T]:
    try:
        yield from items
    except StoppedError:
        return


class _Flag:
    """The part of `threading.Event` that a waiting FIFO looks at, asked of the job."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped

    def wait(self, timeout: float | None = None) -> bool:
        if timeout and not self._stopped():
            time.sleep(timeout)
        return self._stopped()
