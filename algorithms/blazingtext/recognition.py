"""Which files of a folder are a model, told by their first bytes."""

from __future__ import annotations

import re
import struct
from pathlib import Path

MAGIC = struct.pack("<i", 793712314)  # of fastText's binary format
NAMES = ("model.bin", "vectors.bin")  # in this order; then any other .bin or .ftz of fastText
TEXT = "vectors.txt"


def recognises(folder: Path) -> bool:
    """Does the folder hold a model of fastText, or vectors of word2vec? Those in its binary format are not
    served, but loading says so."""
    return binary(folder) is not None or is_text(folder / TEXT) or any(map(is_text, folder.glob("*.bin")))


def binary(folder: Path) -> Path | None:
    """The model of fastText in a folder."""
    others = sorted(path for path in folder.glob("*") if path.suffix in (".bin", ".ftz"))
    known = [folder / name for name in NAMES if (folder / name).is_file()]
    return next((path for path in [*known, *others] if _is_binary(path)), None)


def _is_binary(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def is_text(path: Path) -> bool:
    """Does a file begin as word2vec's formats do, with the numbers of words and columns?"""
    try:
        with path.open("rb") as file:
            return re.fullmatch(rb"\d+ \d+\s*", file.readline(64)) is not None
    except OSError:
        return False
