"""NumPy's files as tables: `.npy` (labels first, then features) and `.npz` (arrays `features`, `labels`)."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from optml.errors import UserError
from optml.formats.records import Origin, Records
from optml.local.feeder import files

SUFFIXES = (".npy", ".npz")
_BLOCK = 16 << 20  # bytes of features in a block
_FEATURES = ("features", "x", "X", "data", "arr_0")
_LABELS = ("labels", "label", "y", "target")
# All that NumPy and zipfile raise for a file that is damaged, encrypted, pickled, or none of theirs.
_DAMAGE = (ValueError, EOFError, RuntimeError, OverflowError, SyntaxError, zipfile.BadZipFile, zlib.error)


def read(path: Path, label_size: int = 0) -> Iterator[Records]:
    """Blocks of a `.npy` or `.npz` file; the first `label_size` columns of a `.npy` are labels.

    Arrays may be (n, d), (n,) for one feature, or of more dimensions, flattened to (n, d). A `.npy` is not
    loaded whole. Nothing is unpickled. Raises UserError for what holds no numbers.
    """
    features, labels = _arrays(path)
    n = len(features)
    features = features.reshape(n, -1) if n else features.reshape(0, 1)
    if labels is not None and len(labels) != n:
        raise UserError(f"{path}: its features have {n} rows and its labels {len(labels)}")
    if label_size and labels is None:
        if label_size >= features.shape[1]:
            raise UserError(
                f"{path} has {features.shape[1]} columns; label_size={label_size} leaves no feature"
            )
        features, labels = features[:, label_size:], features[:, :label_size]
    step = max(1, _BLOCK // (4 * features.shape[1]))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        yield Records(
            np.ascontiguousarray(features[rows], dtype=np.float32),
            None if labels is None else np.asarray(labels[rows], np.float64).reshape(-1, _width(labels)),
            origins=((0, Origin(str(path), start + 1, "row")),),
        )


def _width(labels: np.ndarray) -> int:
    return 1 if labels.ndim < 2 else int(np.prod(labels.shape[1:]))


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                features, labels = _members(file, path)
            else:
                features, labels = np.lib.format.open_memmap(path, mode="r"), None
    except _DAMAGE as error:
        raise UserError(f"{path} is no NumPy file of numbers: {error}") from None
    for array in (features, labels):
        if array is not None and (array.dtype.kind not in "biuf" or array.ndim == 0):
            raise UserError(
                f"{path} holds an array of {array.dtype}, shape {array.shape}; expected rows of numbers"
            )
    return features, labels


def _members(file: BinaryIO, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        names = list(archive)
        features = next((name for name in _FEATURES if name in names), None)
        if features is None:
            raise UserError(
                f"{path} holds {', '.join(names) or 'nothing'}; one array must be called 'features'"
            )
        label = next((name for name in _LABELS if name in names), None)
        return archive[features], archive[label] if label else None


def as_recordio(sources: Sequence[Path], folder: Path) -> list[Path]:
    """The sources of a channel with every NumPy file, also in folders, replaced by RecordIO in `folder`.

    Containers know no NumPy files. Sources without any stay as they are.
    """
    from optml.formats.record_encoding import encode

    result = []
    for source in sources:
        inside = list(files(source))
        if not any(file.suffix in SUFFIXES for file in inside):
            result.append(source)
            continue
        for file in inside:
            if file.suffix in SUFFIXES:
                folder.mkdir(parents=True, exist_ok=True)
                target = folder / f"{len(result):06d}-{file.name}.pbr"
                with target.open("wb") as out:
                    for block in read(file):
                        out.write(encode(block))
                file = target
            result.append(file)
    return result


class NpyWriter:
    """Writes blocks of rows to one `.npy` file; the number of rows is filled in at the end."""

    def __init__(self, file: IO[bytes], dtype: Any = np.float32) -> None:
        self._file = file
        self._dtype = np.dtype(dtype)
        self._rows = self._columns = 0

    def write(self, block: np.ndarray) -> None:
        """Append rows (n, d) of the same width as those before."""
        if not self._rows:
            self._columns = block.shape[1]
            self._header()  # numpy leaves room in it for the number of rows to grow
        self._rows += len(block)
        self._file.write(np.ascontiguousarray(block, dtype=self._dtype).data)

    def finish(self) -> None:
        self._file.seek(0)
        self._header()

    def _header(self) -> None:
        description = np.lib.format.dtype_to_descr(self._dtype)
        shape = (self._rows, self._columns)
        header = {"descr": description, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
