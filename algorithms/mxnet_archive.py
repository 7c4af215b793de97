"""The ZIP in which AWS's SGD family keeps a model (`model_algo-1`): arrays as MXNet writes them, and JSON.

Members: one NDArray list (`params` or `*.params`) whose names carry the prefix `arg:` or `aux:`, and JSON
documents (`mx-mod-symbol.json`, `meta.json`, ...), in any order.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import ndarray
from optml.errors import UserError

AWS_FILES = "model_algo-*"
MOST = 64 << 30  # bytes of a member: beyond that, its header lies
RATIO = 1000  # of a member to its compressed form: a bomb has more, a model less


@dataclass(frozen=True, slots=True)
class Archive:
    """arrays: by name without prefix ("fc0_weight"), read-only.   documents: member name -> parsed JSON."""

    arrays: dict[str, np.ndarray | ndarray.RowSparse]
    documents: dict[str, Any]


def find(folder: Path) -> Path | None:
    """The archive of a model folder; of one per host, the first host's."""
    return next((path for path in sorted(folder.glob(AWS_FILES)) if zipfile.is_zipfile(path)), None)


def read(path: Path) -> Archive:
    """Read an archive. Raises UserError naming the member that is missing, damaged or of another kind."""
    arrays: dict[str, np.ndarray | ndarray.RowSparse] = {}
    documents: dict[str, Any] = {}
    lists = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                source = f"{member.filename} in {path}"
                if member.file_size > min(MOST, RATIO * max(member.compress_size, 1)):
                    raise UserError(f"{source} claims to be of {member.file_size} bytes: this is no model")
                data = archive.read(member)
                if member.filename.endswith("params"):
                    lists += 1
                    values, names = ndarray.decode(data, source)
                    arrays |= {
                        name.partition(":")[2] or name: array
                        for name, array in zip(names, values, strict=False)
                    }
                elif member.filename.endswith(".json"):
                    documents[member.filename] = _document(data, source)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"{path} is no sound ZIP archive of a model: {error}") from None
    if lists != 1:
        others = ", ".join(sorted(documents)) or "nothing"
        raise UserError(f"{path} holds {lists} lists of parameters instead of one (beside {others})")
    return Archive(arrays, documents)


def write(
    path: Path,
    params: str,
    arrays: Mapping[str, np.ndarray | ndarray.RowSparse],
    documents: Mapping[str, Any],
) -> None:
    """Write an archive; `params` names the member that holds the arrays, as `arg:NAME`.

    The same content gives the same bytes."""
    names = [f"arg:{name}" for name in arrays]
    members = {params: ndarray.encode(list(arrays.values()), names)}
    members |= {name: json.dumps(document).encode() for name, document in documents.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980, as ZipInfo is


def _document(data: bytes, source: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(f"{source} is no JSON: {error}") from None
