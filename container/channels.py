"""Input channels as streams: the files of File and FastFile mode, the FIFOs of Pipe mode."""

from __future__ import annotations

import io
import logging
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from optml.algorithms.base import ChannelSpec
from optml.container.fifo import Fifo, Flag, is_fifo
from optml.errors import PlatformError, UserError
from optml.formats import signatures
from optml.formats.compression import MAGIC as GZIP
from optml.formats.compression import decompressed
from optml.formats.content_type import CSV, HEAD, PARQUET, RECORDIO_PROTOBUF, ContentType, sniff
from optml.formats.recordio import payloads

log = logging.getLogger(__name__)

MANIFEST = ".amazon.manifest"


@dataclass(eq=False)
class Channel:
    """One channel of a job.

    The first three fields say which, the rest what inputdataconfig.json says of it. A channel is read in
    passes, one at a time; each pass of a Pipe channel takes the next FIFO, so a pass can't be repeated.
    """

    name: str
    spec: ChannelSpec
    folder: Path  # input/data/<name>; FIFOs are input/data/<name>_<n>
    mode: str = "File"
    content_type: ContentType | None = None  # None: found out from the first bytes when reading begins
    distribution: str = "FullyReplicated"
    wrapper: str = "None"
    attributes: tuple[str, ...] = ()  # of an augmented manifest, in the order of its records; (): not told
    pipe_timeout: float = 1200.0  # seconds
    may_be_empty: bool = False  # a host that got no object of a sharded channel goes on without
    passes: int = 0  # begun in this run

    @cached_property
    def piped(self) -> bool:
        """Whether data come through FIFOs: what is there decides, and the mode where nothing is.

        Local mode writes `File` whatever the user asked for, and a runner may serve FIFOs all the same.
        """
        if is_fifo(self._fifo(0)):
            return self.mode == "Pipe" or not self.files
        return self.mode == "Pipe" and not self.files

    @cached_property
    def files(self) -> list[Path]:
        """The files to read, in the order of their keys in S3. Hidden, `_` and empty ones are skipped."""
        return [self.folder / key for key in self.keys]

    @cached_property
    def keys(self) -> list[str]:
        """The paths of `files` below the channel's folder."""
        return sorted(key for key, skipped in self._entries.items() if not skipped)

    @cached_property
    def _entries(self) -> dict[str, str]:
        """Path relative to the folder -> why it is skipped, or ""."""
        reasons: dict[str, str] = {}
        visited = set()
        for parent, folders, names in os.walk(self.folder, followlinks=True, onerror=_unreadable):
            real = os.path.realpath(parent)
            if real in visited:  # a link back to a folder above
                folders.clear()
                continue
            visited.add(real)
            below = "" if parent == str(self.folder) else f"{Path(parent).relative_to(self.folder)}/"
            deep = self.spec.depth is not None and below.count("/") >= self.spec.depth
            for name in list(folders):
                if name.startswith((".", "_")):
                    folders.remove(name)
                    reasons[f"{below}{name}/"] = "hidden"
            for name in names:  # of which there may be a million: no Path of each
                reasons[below + name] = _reason(name, f"{parent}/{name}") or (
                    f"deeper than {self.spec.depth} folders" if deep else ""
                )
        for key, reason in sorted(reasons.items()):
            if reason:
                level = logging.WARNING if "deeper" in reason else logging.INFO
                log.log(level, "Skipping %s/%s: %s", self.name, key, reason)
        return reasons

    def problem(self) -> str | None:
        """Why this channel cannot be read at all, known without reading it; None: nothing is wrong."""
        if self.piped or self.files or self.may_be_empty:
            return None
        if any(Path(key).name == MANIFEST for key in self._entries):
            return (
                f"channel '{self.name}' holds only {MANIFEST}: local mode does not expand manifests; set "
                "s3_data to the prefix and s3_data_type='S3Prefix', or use the local control plane"
            )
        text = f"channel '{self.name}' is empty: no files under {self.folder}"
        skipped = [f"{key} ({reason})" for key, reason in sorted(self._entries.items())]
        return f"{text}; skipped {', '.join(skipped[:5])}{', ...' * (len(skipped) > 5)}" if skipped else text

    def streams(self, stop: Flag | None = None) -> Iterator[tuple[str, BinaryIO]]:
        """One pass over the channel: pairs (name for messages, bytes without gzip), to be read one by one.

        A stream is closed when the next is asked for. `content_type` is set before the first bytes come.
        `stop` ends a wait for a FIFO with `StoppedError`. Raises UserError for an empty channel and for a
        FIFO that never comes, PlatformError for a file that can't be read.
        """
        problem = self.problem()
        if problem:
            raise UserError(problem)
        number, self.passes = self.passes, self.passes + 1
        if not self.piped:
            for key, path in zip(self.keys, self.files, strict=True):
                yield from self._stream(f"{self.name}/{key}", _open(path))
            return
        path = self._fifo(number)
        fifo = io.BufferedReader(
            Fifo(path, timeout=self.pipe_timeout, stop=stop or threading.Event()), buffer_size=1 << 20
        )
        if self.wrapper != "RecordIO":
            yield from self._stream(path.name, fifo)
            return
        with closing(fifo):
            for index, content in enumerate(payloads(fifo, source=path.name), start=1):
                source = f"object {index} of {path.name}"
                self._find_out(source, content[:HEAD])
                yield source, decompressed(io.BytesIO(content), source=source)

    def examples(self, size: int, stop: Flag | None = None) -> Iterator[tuple[bytes, ...]]:
        """One pass over an augmented manifest's stream: `size` wrapped records (image, label...) an example.

        Raises UserError if the last example is incomplete.
        """
        parts: list[bytes] = []
        number = count(1)
        for _, stream in self.streams(stop):
            parts.append(stream.read())
            if len(parts) == size:
                yield tuple(parts)
                parts = []
                next(number)
        if parts:
            raise UserError(
                f"channel '{self.name}' ends after {len(parts)} of the {size} records of example "
                f"{next(number)}; are AttributeNames complete?"
            )

    def _stream(self, source: str, raw: io.BufferedReader[Any]) -> Iterator[tuple[str, BinaryIO]]:
        with closing(raw):
            head = raw.peek(HEAD)[:HEAD]
            if not head:  # a FIFO without data: a host that got no object
                return
            self._find_out(source, head)
            yield source, decompressed(raw, source=source)

    def _find_out(self, source: str, head: bytes) -> None:
        """Settle the content type of a channel that was given none: what the bytes show, else the default."""
        if self.content_type is not None or not head:
            return
        supported = [ContentType.parse(text).media for text in self.spec.content_types]
        text = self.spec.default_content_type
        default = ContentType.parse(text) if text else None
        guess = sniff(head)
        # CSV is what is left when nothing else fits. It stands against no default, or against one whose
        # magic number is missing, unless the bytes are no text: then the default's reader says what is wrong.
        missed = default is None or default.media in (RECORDIO_PROTOBUF, PARQUET)
        binary = b"\0" in head and head[:2] != GZIP
        plausible = guess.media != CSV or (missed and not binary)
        if guess.media in supported and plausible:
            self.content_type = guess
        elif default is not None and not (missed and plausible):
            self.content_type = default
        else:
            if head[:2] != GZIP:
                signatures.refuse(head, source)
            looks = "is of no format known here" if guess.media == CSV else f"looks like {guess}"
            raise UserError(
                f"channel '{self.name}' has no content type and {source} {looks}; "
                f"set its ContentType to one of {', '.join(self.spec.content_types)}"
            )
        log.info("Channel '%s' has no content type; %s is read as %s", self.name, source, self.content_type)

    def _fifo(self, number: int) -> Path:
        return self.folder.with_name(f"{self.name}_{number}")


def _open(path: Path) -> io.BufferedReader[Any]:
    try:
        return path.open("rb")
    except OSError as error:
        raise PlatformError(f"{path} cannot be read: {error.strerror}") from error


def _reason(name: str, path: str) -> str:
    """Why a file is skipped, or ""."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:  # a link to nowhere
        return "not a file"
    if not stat.S_ISREG(status.st_mode):
        return "not a file"
    return "hidden" if name.startswith((".", "_")) else "" if status.st_size else "empty"


def _unreadable(error: OSError) -> None:
    if isinstance(error, NotADirectoryError):
        raise UserError(f"{error.filename} is a file; a channel is a folder: put the file into it") from error
    if not isinstance(error, FileNotFoundError):
        raise PlatformError(f"{error.filename} cannot be read: {error.strerror}") from error
