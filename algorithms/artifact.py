"""Model folders: `model.safetensors` holds the arrays, `model.json` says what they are.

    model.json: {"algorithm": slug, "version": of optml, "hyperparameters": {...},
                 "facts": {...}, what else the algorithm tells of its model, where it does,
                 "arrays": {name: {"shape": [...], "dtype": "float32"}}}

Arrays are mapped, not read: the workers of a server share the pages of one file.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from optml.errors import UserError

ARRAYS = "model.safetensors"
DESCRIPTION = "model.json"
LISTED = 10  # names of files in a message


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a model folder of ours holds; the arrays are read-only maps of the file."""

    algorithm: str
    version: str
    hyperparameters: dict[str, Any]
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any] = field(default_factory=dict)


def write(
    folder: Path,
    algorithm: str,
    arrays: Mapping[str, np.ndarray],
    hyperparameters: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write both files into `folder`, which is made where it is missing.

    Hyperparameters and facts must be values that JSON knows."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(plain, folder / ARRAYS, metadata={"algorithm": algorithm})
    (folder / ARRAYS).chmod(0o644)  # safetensors leaves it to its owner, here root of a container, alone
    description = {
        "algorithm": algorithm,
        "version": _version(),
        "hyperparameters": dict(hyperparameters or {}),
        **({"facts": dict(facts)} if facts else {}),
        "arrays": {
            name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in plain.items()
        },
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")


def listing(folder: Path) -> str:
    """What a folder that holds no model does hold, for a message: its first ten names, or "nothing"."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names[:LISTED]) or "nothing"


def exists(folder: Path) -> bool:
    """Does the folder hold an artifact of ours (sound or not)?"""
    return (folder / DESCRIPTION).is_file()


def read(folder: Path, algorithm: str, required: Collection[str] = ()) -> Artifact:
    """Map an artifact of `algorithm`. Raises UserError that says what is wrong: written by another algorithm,
    a file missing, truncated or of another kind, a `required` array missing."""
    description = _description(folder / DESCRIPTION)
    trained_by = description["algorithm"]
    if trained_by != algorithm:
        raise UserError(
            f"the model in {folder} was trained by '{trained_by}', but this is '{algorithm}': "
            f"use the image of {trained_by}, or another model"
        )
    arrays = mapped(folder / ARRAYS)
    missing = sorted(set(required) - set(arrays))
    if missing:
        raise UserError(
            f"{folder / ARRAYS} lacks {', '.join(missing)}; a model of {algorithm} holds "
            f"{', '.join(required)}, this file holds {', '.join(sorted(arrays)) or 'nothing'}"
        )
    hyperparameters, facts = (description.get(name) for name in ("hyperparameters", "facts"))
    return Artifact(
        trained_by,
        str(description.get("version")),
        hyperparameters if isinstance(hyperparameters, dict) else {},
        arrays,
        facts if isinstance(facts, dict) else {},
    )


def _description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the folder holds no model of optml") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(description, dict) or not isinstance(description.get("algorithm"), str):
        raise UserError(f"{path} names no algorithm; expected an object with the key 'algorithm'")
    return description


def mapped(path: Path) -> dict[str, np.ndarray]:
    """Map every array of a safetensors file, checked by safetensors itself first."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np"):  # refuses truncated files and headers that lie
            pass
        with path.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the model is incomplete") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is truncated or no safetensors file: {error}") from None
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(whole[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise UserError(f"{path} holds '{name}' in {entry['dtype']}, which optml does not write")
        begin, end = entry["data_offsets"]
        count = (end - begin) // dtype.itemsize
        arrays[name] = np.frombuffer(whole, dtype, count, 8 + length + begin).reshape(entry["shape"])
    return arrays


_DTYPES = {
    code: np.dtype(name)
    for code, name in {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
        "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
    }.items()
}  # fmt: skip


@cache
def _version() -> str:
    try:
        return metadata.version("optml")
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
