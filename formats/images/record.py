"""Images in RecordIO (`application/x-recordio`): MXNet's IRHeader, labels, and the image as it is encoded.

Header, little-endian, 24 bytes: u32 flag, f32 label, u64 id, u64 id2. flag 0: `label` is the label; else
`flag` float32 labels follow the header, and the field is 0. The image (JPEG, PNG) stays bytes here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from optml.errors import UserError
from optml.formats.recordio import cut_frames, payloads

_HEADER = struct.Struct("<IfQQ")


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One record: labels (m,) float32 with m >= 1, its number, and the encoded image."""

    labels: np.ndarray
    id: int
    content: bytes
    id2: int = 0
    vector: bool = False  # a single label written behind the header, as vectors of labels are

    @classmethod
    def unpack(cls, payload: bytes, where: str) -> Image:
        """Raises UserError, naming `where`, for a record shorter than its header says."""
        if len(payload) < _HEADER.size:
            raise UserError(f"{where} has {len(payload)} bytes; an image record begins with a header of 24")
        flag, label, number, number2 = _HEADER.unpack_from(payload)
        end = _HEADER.size + 4 * flag
        if not flag:
            return cls(np.array([label], np.float32), number, payload[end:], number2)
        if len(payload) < end:
            raise UserError(
                f"{where} announces {flag} labels, for which its {len(payload)} bytes are too few"
            )
        labels = np.frombuffer(payload, "<f4", flag, _HEADER.size).astype(np.float32)
        return cls(labels, number, payload[end:], number2, vector=True)

    def pack(self) -> bytes:
        """The record as MXNet's `recordio.pack` makes it."""
        if len(self.labels) == 1 and not self.vector:
            return _HEADER.pack(0, float(self.labels[0]), self.id, self.id2) + self.content
        header = _HEADER.pack(len(self.labels), 0.0, self.id, self.id2)
        return header + self.labels.astype("<f4").tobytes() + self.content


def read(stream: BinaryIO, *, source: str) -> Iterator[Image]:
    """The images of a `.rec` file or FIFO, in bounded memory. Raises UserError naming the record."""
    for number, payload in enumerate(payloads(stream, source=source), start=1):
        yield Image.unpack(payload, f"record {number} of {source}")


def write(images: Iterable[Image], stream: BinaryIO) -> list[int]:
    """Write a `.rec` file as MXNet does; returns the byte offset of each record, for `index`."""
    offsets = []
    at = 0
    for image in images:
        offsets.append(at)
        at += stream.write(cut_frames(image.pack()))
    return offsets


def index(offsets: Iterable[int]) -> str:
    """The text of an `.idx` file: number of the record, tab, byte offset."""
    return "".join(f"{key}\t{offset}\n" for key, offset in enumerate(offsets))


def read_index(text: str, *, source: str) -> dict[int, int]:
    """Record number -> byte offset of an `.idx` file. Raises UserError naming the line."""
    offsets = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        key, _, offset = line.partition("\t")
        try:
            offsets[int(key)] = int(offset)
        except ValueError:
            raise UserError(
                f"line {number} of {source} is '{line[:40]}'; expected number, tab, offset"
            ) from None
    return offsets
