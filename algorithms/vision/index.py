"""The labelled images of a channel, to be read at any place: from `.rec` files, `.lst` and a folder,
manifests, images with a second file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from optml.errors import UserError
from optml.formats.images import lst
from optml.formats.images.header import UnreadableError
from optml.formats.images.recordio import RecordFile
from optml.formats.images.vectors import Vectors

FIRST = 5  # examples in a message


@dataclass(frozen=True, slots=True, eq=False)
class ImageIndex:
    """n images and what is known of each; nothing but labels and places is in memory.

    names: of each image, for messages.   contents: each as it is encoded, read when it is asked for.
    labels: numbers of each; None: not in this form.   documents: JSON of each, as text.   masks: an encoded
    image for each.   beside: the names of documents or masks that are files of their own.   class_names: of
    class ids, where the data tell them.
    """

    names: Sequence[str]
    contents: Sequence[bytes]
    labels: Vectors | None = None
    documents: Sequence[bytes] | None = None
    masks: Sequence[bytes] | None = None
    beside: Sequence[str] | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[tuple[int, int, int], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def encoded(self, i: int) -> bytes:
        """Image i: JPEG, PNG, ... Raises UnreadableError, naming it, for a file that cannot be read."""
        return self.contents[i]


class Files(Sequence[bytes]):
    """The contents of files."""

    def __init__(self, paths: Sequence[Path | str], names: Sequence[str]) -> None:
        self._paths = paths
        self._names = names

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        try:
            with open(self._paths[i], "rb") as file:  # noqa: PTH123  a Path costs as much as the rest
                return file.read()
        except OSError as error:
            raise UnreadableError(f"{self._names[i]} cannot be read: {error.strerror}") from None


class _Records(Sequence[bytes]):
    """The images in several `.rec` files, one behind the other."""

    def __init__(self, files: Sequence[RecordFile]) -> None:
        self._files = files
        self._ends = np.cumsum([len(file) for file in files])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def place(self, i: int) -> tuple[RecordFile, int]:
        file = int(np.searchsorted(self._ends, i, side="right"))
        return self._files[file], i - (int(self._ends[file - 1]) if file else 0)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        file, record = self.place(i)
        return file[record].content


class _RecordNames(Sequence[str]):
    def __init__(self, records: _Records) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        file, record = self._records.place(i)
        return file.name(record)


class _RowNames(Sequence[str]):
    def __init__(self, rows: lst.Rows, folder: str) -> None:
        self._rows = rows
        self._folder = folder

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]
        return f"{self._folder}/{self._rows.name(i)}"


def of_records(files: Sequence[tuple[str, Path]]) -> ImageIndex:
    """The images of `.rec` files: pairs (name for messages, path). Raises UserError naming file and
    record."""
    records = _Records([RecordFile(path, name) for name, path in files])
    labels = Vectors.concatenated(file.labels for file in records._files)
    return ImageIndex(_RecordNames(records), records, labels)


def of_list(text: bytes, source: str, files: Sequence[tuple[str, Path]], folder: str) -> ImageIndex:
    """The rows of a `.lst` file.

    files: of the channel that the list is about, pairs (name for messages, path); folder: that channel's
    name. Files that a channel passes over, empty and hidden ones, are taken where the list names them.
    Raises UserError naming the line, or the first images that are missing and their number.
    """
    rows = lst.read(text, source)
    root = _root(files)
    known = {name.partition("/")[2]: path for name, path in files}
    paths = [known.get(path) or _beside(path, root) for path in rows.paths]
    missing = [i for i, path in enumerate(paths) if path is None]
    if missing:
        shown = ", ".join(rows.name(i) for i in missing[:FIRST])
        raise UserError(
            f"{len(missing)} of {len(rows)} images of {source} are not in channel '{folder}': {shown}"
            f"{', ...' * (len(missing) > FIRST)}; paths are relative to the channel's folder"
        )
    names = _RowNames(rows, folder)
    return ImageIndex(names, Files([path for path in paths if path is not None], names), rows.labels)


def _root(files: Sequence[tuple[str, Path]]) -> Path | None:
    """The channel's folder, by a file in it."""
    if not files:
        return None
    name, path = files[0]
    return path.parents[name.count("/") - 1]


def _beside(path: str, root: Path | None) -> Path | None:
    """A file of the folder that is not among the channel's."""
    if root is None or path.startswith(("/", "..")) or not (root / path).is_file():
        return None
    return root / path
