"""A Pipe as an index: what comes through its FIFO once is kept on the disk, and read there at any place."""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from optml.algorithms.sources import Source
from optml.algorithms.vision.documents import numbers
from optml.algorithms.vision.index import ImageIndex
from optml.errors import UserError
from optml.formats.images import header
from optml.formats.images.recordio import image_record
from optml.formats.images.vectors import Vectors
from optml.formats.recordio import MAGIC_BYTES, payloads

EMPTY = (
    "Got empty batch from pipe. Please check if the manifest file contains valid batches and the value of "
    "training job parameter AttributeNames matches attributes names in the augmented manifest."
)
EXPECTED = (
    "AttributeNames must be the attribute of the image and that of its label, and RecordWrapperType must be "
    "RecordIO"
)


class Spill(Sequence[bytes]):
    """Byte strings in a file without a name, gone with the process; several threads may read."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="optml-")  # noqa: SIM115  open as long as this lives
        weakref.finalize(self, self._file.close)
        self._starts = array("q", [0])

    def append(self, content: bytes) -> None:
        self._file.write(content)
        self._starts.append(self._starts[-1] + len(content))

    def complete(self) -> Spill:
        self._file.flush()
        return self

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        start, end = self._starts[i], self._starts[i + 1]
        return os.pread(self._file.fileno(), end - start, start)


class _Names(Sequence[str]):
    def __init__(self, what: str, channel: str, count: int) -> None:
        self._what, self._channel, self._count = what, channel, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        return f"{self._what} {i + 1} of channel '{self._channel}'"


def of_pipe(source: Source) -> ImageIndex:
    """One pass over a Pipe: image records as a `.rec` holds them, or the records of an augmented manifest,
    told apart by the first. Raises UserError naming the record."""
    records = _records(source)
    first = next(records, None)
    if first is None:
        if source.stopped():
            return ImageIndex([], [], Vectors.of([]))
        raise UserError(f"channel '{source.name}': {EMPTY}")
    records = chain([first], records)
    if source.wrapper == "RecordIO" or header.sniff(first) is not None:
        return _of_examples(source, records)
    contents, labels = Spill(), []
    for number, payload in enumerate(records, start=1):
        image = image_record(payload, f"record {number} of channel '{source.name}'", f"'{source.name}'")
        contents.append(image.content)
        labels.append(image.labels)
    names = _Names("record", source.name, len(contents))
    return ImageIndex(names, contents.complete(), Vectors.of(labels))


def _records(source: Source) -> Iterator[bytes]:
    """The records of the stream. A wrapped object may be a whole `.rec`."""
    for name, stream in source.streams():
        if source.wrapper != "RecordIO":
            yield from payloads(stream, source=name)
            continue
        content = stream.read()
        if content[:4] == MAGIC_BYTES:
            yield from payloads(io.BytesIO(content), source=name)
        else:
            yield content


def _of_examples(source: Source, records: Iterator[bytes]) -> ImageIndex:
    """Of each example: its image, and its label as JSON or as a second image."""
    size, image, label = _places(source)
    contents, seconds, documents = Spill(), Spill(), []
    number = 0
    while example := tuple(islice(records, size)):
        number += 1
        where = f"example {number} of channel '{source.name}'"
        if len(example) < size:
            if source.stopped():
                break
            raise UserError(f"{where} has {len(example)} of its {size} records when the data end; {EXPECTED}")
        if header.sniff(example[image]) is None and (number == 1 or header.sniff(example[label])):
            raise UserError(
                f"{where} begins with {example[image][:40]!r}, which is no image; {EXPECTED}, in this order"
            )
        contents.append(example[image])
        if header.sniff(example[label]) is not None:
            seconds.append(example[label])
        else:
            documents.append(example[label])
        if len(seconds) and documents:
            raise UserError(
                f"{where} has an image as its label where others have none, or the other way round"
            )
    names = _Names("example", source.name, number)
    if len(seconds):
        return ImageIndex(names, contents.complete(), masks=seconds.complete())
    return ImageIndex(names, contents.complete(), numbers(documents, names), documents)


def _places(source: Source) -> tuple[int, int, int]:
    """How many records an example has, and which are the image and the label."""
    names = source.attributes
    if len(names) < 2:
        return 2, 0, 1
    image = next((place for place, name in enumerate(names) if name.endswith("-ref")), 0)
    others = (p for p, name in enumerate(names) if p != image and not name.endswith("-metadata"))
    return len(names), image, next(others, 1 - image)
