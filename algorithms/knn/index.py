"""The indexes by the names of the hyperparameter `index_type`, and by what their files begin with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from optml.algorithms.knn import flat, inverted
from optml.algorithms.knn.flat import Flat
from optml.algorithms.knn.inverted import Inverted
from optml.errors import UserError

Index: TypeAlias = Flat | Inverted


def load(path: Path, *, nprobe: int | None, device: str, terms: Mapping[str, np.ndarray]) -> Index:
    """Open a file of FAISS's: IxF2, IxFI, IwFl or IwPQ. Raises UserError that says what is wrong with it.

    nprobe: lists that a query looks into, None: as the file says.   folded: `Flat.arrays`, or nothing.
    """
    code = code_of(path)
    if code in (flat.L2, flat.INNER):
        return flat.load(path, device, terms)
    if code in inverted.KINDS:
        return inverted.load(path, inverted.KINDS[code], nprobe)
    raise UserError(
        f"{path} is no index that is known here: it begins with {code!r}; expected IxF2 or IxFI "
        "(faiss.Flat), IwFl (faiss.IVFFlat) or IwPQ (faiss.IVFPQ)"
    )


def code_of(path: Path) -> bytes:
    """The four bytes that a file of FAISS's begins with. Raises UserError for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
