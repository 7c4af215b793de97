"""Files of weights: `.safetensors` and MXNet's `.params`, told by what they hold, whatever they are called.

Nothing is unpickled: a `.pth` is opened by `optml weights convert` alone.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from optml.algorithms import artifact, ndarray
from optml.algorithms.vision.architecture import Architecture, tell
from optml.algorithms.vision.weights.naming import Naming, by_ours, naming
from optml.errors import UserError

SUFFIXES = (".safetensors", ".params")
PICKLES = (".pth", ".pt", ".bin")


@dataclass(frozen=True, slots=True)
class Weights:
    """arrays: by our names, mapped from the file (float32 or float16).   architecture: None for what is no
    residual network as we know them."""

    path: Path
    naming: Naming
    arrays: Mapping[str, np.ndarray]
    architecture: Architecture | None

    def __str__(self) -> str:
        return f"{self.path.name} ({self.architecture or 'no residual network that we know'})"


def read(path: Path) -> Weights:
    """Only the names and shapes are read; arrays are mapped. Raises UserError for what is neither format or
    damaged."""
    arrays = params(path) if path.suffix == ".params" else artifact.mapped(path)
    own = naming(arrays)
    mapped = {mine: arrays[name] for mine, name in by_ours(arrays, own).items()}
    shapes = {name: array.shape for name, array in mapped.items()}
    return Weights(path, own, mapped, tell(shapes, own.layout))


def params(path: Path) -> dict[str, np.ndarray]:
    """The arrays of MXNet's list by their names as written, mapped. Raises UserError for another file."""
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # an empty file can't be mapped
        raise UserError(f"{path} cannot be read: {error}") from None
    arrays, names = ndarray.decode(cast(bytes, data), str(path))
    return {name: array for name, array in zip(names, arrays, strict=False) if isinstance(array, np.ndarray)}


def within(folder: Path) -> list[Path]:
    """The files of weights in a folder and those below it, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())


def pickles(folder: Path) -> list[Path]:
    """What only `optml weights convert` opens."""
    return sorted(path for path in folder.rglob("*") if path.suffix in PICKLES and path.is_file())
