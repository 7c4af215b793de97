"""Decoded blocks kept on the disk, so that only the first epoch pays for parsing and checking."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from scipy.sparse import csr_array

from optml.formats.records import Origin, Records

log = logging.getLogger(__name__)

RESERVE = 1 << 30  # bytes of the disk that are left to others
ALIGNMENT = 64  # of each array in the file, in bytes


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an array lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, slots=True)
class _Kept:
    """One block: the places of its arrays, and what is small enough to stay in memory."""

    features: tuple[_Place, ...]  # one array, or data, indices and indptr of a csr_array
    shape: tuple[int, int]
    labels: _Place | None
    weights: _Place | None
    groups: _Place | None
    origins: tuple[tuple[int, Origin], ...]


class Spill:
    """The blocks of one channel in a file without a name, gone with the process. They are mapped when read
    again: the system caches what fits, and drops it when somebody else needs the memory."""

    def __init__(self, folder: Path) -> None:
        self.complete = False  # a whole pass is kept
        self._folder = folder
        self._refused = False
        self._file: IO[bytes] | None = None

    def keep(self, blocks: Iterable[Records]) -> Iterator[Records]:
        """Pass the blocks of one pass on, and write each down. A pass that ends early is forgotten; a disk
        too full for it costs a line in the log, and every epoch reads the channel anew."""
        if not self._refused:
            self._start()
        for block in blocks:
            if not self._refused:
                self._write(block)
            yield block
        self.complete = not self._refused

    def blocks(self) -> Iterator[Records]:
        """The blocks that were kept, without uids and metadata; their arrays are read-only."""
        for block in self._blocks:
            arrays = [self._map(place) for place in block.features]
            features = (
                arrays[0] if len(arrays) == 1 else csr_array(tuple(arrays), shape=block.shape, copy=False)
            )
            yield Records(
                features,
                labels=None if block.labels is None else self._map(block.labels),
                weights=None if block.weights is None else self._map(block.weights),
                groups=None if block.groups is None else self._map(block.groups),
                origins=block.origins,
            )

    def _start(self) -> None:
        self._blocks: list[_Kept] = []
        self._size = 0
        self._bytes: np.ndarray | None = None
        if self._file is not None:  # of a pass that ended early
            self._file.close()
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # open as long as this lives
            weakref.finalize(self, self._file.close)
        except OSError as error:
            self._refuse(error)

    def _write(self, block: Records) -> None:
        assert self._file is not None
        features = block.features
        arrays = (
            (features.data, features.indices, features.indptr)
            if isinstance(features, csr_array)
            else [features]
        )
        try:
            needed = sum(array.nbytes for array in arrays) + RESERVE
            if shutil.disk_usage(self._folder).free < needed:
                raise OSError(0, f"less than {needed / 2**30:.3g} GiB are free in {self._folder}")
            self._blocks.append(
                _Kept(
                    tuple(self._place(array) for array in arrays),
                    block.features.shape,
                    None if block.labels is None else self._place(block.labels),
                    None if block.weights is None else self._place(block.weights),
                    None if block.groups is None else self._place(block.groups),
                    block.origins,
                )
            )
            self._file.flush()  # here a full disk is no misfortune yet
        except OSError as error:
            self._refuse(error)

    def _place(self, array: np.ndarray) -> _Place:
        assert self._file is not None
        self._file.seek(self._size)
        self._file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        place = _Place(self._size, array.shape, array.dtype)
        self._size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        return place

    def _map(self, place: _Place) -> np.ndarray:
        if self._bytes is None:
            assert self._file is not None
            self._file.truncate(max(self._size, 1))
            self._file.flush()
            self._bytes = np.asarray(np.memmap(self._file, np.uint8, "r"))
        count = int(np.prod(place.shape))
        return np.frombuffer(self._bytes, place.dtype, count, place.offset).reshape(place.shape)

    def _refuse(self, error: OSError) -> None:
        """Do without from now on."""
        log.warning(
            "Decoded data are not kept on the disk (%s): every epoch parses them anew", error.strerror
        )
        self._refused = True
        self._blocks.clear()
        if self._file is not None:
            self._file.close()
