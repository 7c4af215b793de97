"""Rows of a `.lst` file: `index TAB label... TAB path`, as MXNet's im2rec makes and reads them."""

from __future__ import annotations

import os
import posixpath
from array import array
from dataclasses import dataclass

import numpy as np

from optml.errors import UserError
from optml.formats.images.vectors import Vectors


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """labels: n vectors.   paths: of the images, below the folder that the list is about, with `/`.
    lines: (n,) int64, the line of each row, from 1 on.   source: the file's name for messages."""

    labels: Vectors
    paths: list[str]
    lines: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, i: int) -> str:
        return f"{self.paths[i]} (line {self.lines[i]} of {self.source})"


def read(text: bytes, source: str) -> Rows:
    """Raises UserError, naming the line, for a row that is none, UserError for a list without rows."""
    values, lengths, lines = array("f"), array("q"), array("q")
    paths = []
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(b"\t")]
        index, labels, path = fields[0], fields[1:-1], fields[-1]
        try:
            float(index)
            values.extend(map(float, labels))
        except ValueError:
            raise _wrong(line, number, source) from None
        if not labels or not path:
            raise _wrong(line, number, source)
        lengths.append(len(labels))
        lines.append(number)
        paths.append(posixpath.normpath(os.fsdecode(path)))
    if not paths:
        raise UserError(f"{source} has no rows; expected lines of index, label and path, parted by tabs")
    vectors = Vectors.joined(np.array(values, np.float32), lengths)
    return Rows(vectors, paths, np.array(lines, np.int64), source)


def _wrong(line: bytes, number: int, source: str) -> UserError:
    shown = line[:60].decode("utf-8", "replace")
    hint = "; its columns must be parted by tabs" if b"\t" not in line else ""
    return UserError(
        f"line {number} of {source} is {shown!r}; expected index, label(s) and path, as in "
        f"'5<tab>1<tab>dog/img1.jpg'{hint}"
    )
