"""Random access to the records of a `.rec` file: where each begins, and its labels, found out in one walk
over the headers of a mapped file, of which no more than a page a record is read.

A companion `.idx` (number of the record, tab, byte offset) spares the walk where it fits the file.
"""

from __future__ import annotations

import logging
import mmap
import re
import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from optml.errors import UserError
from optml.formats.images import record
from optml.formats.images.record import Image
from optml.formats.images.vectors import Vectors
from optml.formats.recordio import MAGIC, MAX_LENGTH, Frames

log = logging.getLogger(__name__)

OLD_MAGIC = struct.pack("<I", 0x3ED7230A)  # of dmlc in 2015, with other flags
PROBES = 256  # records at which an index is tried
_HEAD = struct.Struct("<IIIf")  # of a frame, and of the image record in it: magic, word, flag, label
_PROTOBUF = re.compile(rb"[\x0a\x12][\x01-\xff]{1,5}?\x0a[\x01-\x40][\w ./-]+\x12", re.S)


class RecordFile:
    """The image records of one file. Raises UserError, naming source, record and byte, for a file that is
    none or is cut off. `source` names it in messages."""

    def __init__(self, path: Path, source: str) -> None:
        self.source = source
        with path.open("rb") as file:
            self._data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(self._data, "madvise"):
            self._data.madvise(mmap.MADV_RANDOM)
        self._require_recordio()
        starts = self._of_index(path.with_suffix(".idx"))
        self._starts = np.array(list(self._walk()), np.int64) if starts is None else starts
        self.labels = self._labels()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, i: int) -> Image:
        """Record i, counted from 0."""
        return Image.unpack(self._payload(int(self._starts[i])), self.name(i))

    def name(self, i: int) -> str:
        return f"record {i + 1} of {self.source}"

    def _payload(self, at: int) -> bytes:
        frames = Frames(None, source=self.source, data=self._data)
        frames.at = at
        payload = frames.take()
        assert payload is not None
        return payload

    def _require_recordio(self) -> None:
        first = self._data[:4]
        if first == OLD_MAGIC:
            raise UserError(
                f"{self.source} is RecordIO as dmlc wrote it in 2015 (it begins with 0a 23 d7 3e), which is "
                "not read; make it anew by MXNet's im2rec"
            )
        if len(first) == 4 and first != struct.pack("<I", MAGIC):
            raise UserError(
                f"{self.source} is not a RecordIO file: at byte 0 it has {first.hex(' ')} where 0a 23 d7 ce "
                "is expected; was it made by MXNet's im2rec?"
            )

    def _walk(self) -> Iterator[int]:
        """Where each record begins."""
        data, size, at = self._data, len(self._data), 0
        number = 0
        while at < size:
            begin, parts, number = at, 0, number + 1
            while True:
                if at + 8 > size:
                    break
                magic, word = struct.unpack_from("<II", data, at)
                flag, length = word >> 29, word & MAX_LENGTH
                at += 8 + length
                if magic != MAGIC or at > size or flag > 3 or (flag in (2, 3)) != bool(parts):
                    at = size + 1
                    break
                at += -length % 4
                parts += 1
                if flag in (0, 3):
                    break
            if at + 8 > size and not self._complete(begin, number):
                return
            yield begin

    def _complete(self, at: int, number: int) -> bool:
        """Is the last record whole? Raises UserError for one that is damaged or cut off; False: it is no
        record but zeros behind the last one."""
        frames = Frames(None, source=self.source, data=self._data)
        frames.at, frames.record = at, number
        return frames.take() is not None

    def _of_index(self, path: Path) -> np.ndarray | None:
        """What the `.idx` says; None where there is none or it is another file's."""
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        try:
            starts = np.sort(np.array(list(record.read_index(text, source=path.name).values()), np.int64))
        except UserError:
            starts = np.empty(0, np.int64)
        if not self._fits(starts):
            log.warning("%s does not fit %s and is left aside", path.name, self.source)
            return None
        return starts

    def _fits(self, starts: np.ndarray) -> bool:
        """Do records end where the next ones begin? Tried at the first, the last and some between."""
        if not len(starts) or starts[0] != 0 or starts[-1] + 8 > len(self._data):
            return False
        ends = np.append(starts[1:], len(self._data)).tolist()
        places = np.unique(np.linspace(0, len(starts) - 1, PROBES).astype(np.int64))
        for place in places.tolist():
            at, flag = int(starts[place]), 1
            while flag not in (0, 3):
                if at + 8 > len(self._data):
                    return False
                magic, word = struct.unpack_from("<II", self._data, at)
                flag, length = word >> 29, word & MAX_LENGTH
                if magic != MAGIC:
                    return False
                at += 8 + length + -length % 4
            if at != ends[place]:
                return False
        return True

    def _labels(self) -> Vectors:
        values, lengths = array("f"), array("q")
        data, size = self._data, len(self._data)
        for i, at in enumerate(self._starts.tolist()):
            if at + 16 <= size:
                _, word, flag, label = _HEAD.unpack_from(data, at)
                if not word >> 29 and 24 + 4 * flag <= word:
                    if flag:
                        values.frombytes(data[at + 32 : at + 32 + 4 * flag])
                    else:
                        values.append(label)
                    lengths.append(max(flag, 1))
                    continue
            labels = self._image(i).labels  # in parts, or wrong
            values.extend(labels.tolist())
            lengths.append(len(labels))
        return Vectors.joined(np.array(values, np.float32), lengths)

    def _image(self, i: int) -> Image:
        return image_record(self._payload(int(self._starts[i])), self.name(i), self.source)


def image_record(payload: bytes, where: str, source: str) -> Image:
    """The image record in a payload. Raises UserError, naming `where` and `source`, for one that is none."""
    if _PROTOBUF.match(payload[:200]):
        raise UserError(
            f"{where} is no image but a protobuf record: {source} is a .rec of protobuf records "
            "(application/x-recordio-protobuf), for the algorithms of tables; MXNet's im2rec makes one of "
            "images"
        )
    return Image.unpack(payload, where)
