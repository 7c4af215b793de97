"""Model files told from others by their first bytes, without importing the library."""

from __future__ import annotations

from pathlib import Path

from optml.algorithms.xgboost.legacy import is_pickle

NAME = "xgboost-model"


def models(folder: Path) -> list[Path]:
    """The model files of a folder, numbers in their names in order."""
    paths = [
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and _is_model(path)
    ]
    return sorted(paths, key=lambda path: (len(path.name), path.name))


def _is_model(path: Path) -> bool:
    """The old binary format has no mark of its own: there the name must do."""
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError:
        return False
    native = head[:1] == b"{" and (b"learner" in head or b"Model" in head)
    return native or is_pickle(head) or path.name.startswith(NAME)
