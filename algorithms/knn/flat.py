"""Exact search, and its file as FAISS lays it out (`IndexFlatL2`, `IndexFlatIP`), read without FAISS.

    4 bytes  "IxF2" (L2) or "IxFI" (inner product)
    int32    d                         bool     trained
    int64    n                         int32    metric: 1 L2, 0 inner product
    2 int64  unused                    int64    n * d, then so many float32

The vectors are mapped where they lie, so that the workers of a server share their pages.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.kernels.topk import fold, search
from optml.algorithms.kernels.topk.terms import Points
from optml.errors import UserError

L2, INNER = b"IxF2", b"IxFI"
HEADER = struct.Struct("<4siqqq?iq")
UNUSED = 1 << 20  # two fields of the file's header that nobody reads, as FAISS fills them
VALUES = 1 << 20  # of a block that is looked at


class Flat:
    """points: (n, w) float32, n > 0.   folded: what `arrays` gave, where it was kept."""

    kind = "faiss.Flat"
    nprobe = None

    def __init__(
        self,
        points: np.ndarray,
        *,
        inner: bool,
        device: str = "cpu",
        terms: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.inner = inner
        self.width = points.shape[1]
        self._device = device
        if terms:
            self._points = Points(points, terms["mean"], terms["bias"])
        else:
            self._points = fold(points)

    def __len__(self) -> int:
        return len(self._points.values)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What need not be computed again when the index is loaded."""
        return {"mean": self._points.mean, "bias": self._points.bias}

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The min(k, n) nearest points to queries (q, w) float32: squared distances, or inner products,
        float32, and places, int64; nearest first, of equally near ones the first place first."""
        if self._device == "cpu":
            values, places = search(queries, self._points, k, self.inner)
            return values, places
        import torch

        values, places = search(torch.tensor(queries, device=self._device), self._on_device, k, self.inner)
        return values.cpu().numpy(), places.cpu().numpy()

    @cached_property
    def _on_device(self) -> Points:
        import torch

        points = self._points
        arrays = (np.array(array) for array in (points.values, points.mean, points.bias))  # aligned
        return Points(*(torch.from_numpy(array).to(self._device) for array in arrays))

    def save(self, path: Path) -> None:
        points = self._points.values
        head = HEADER.pack(
            INNER if self.inner else L2,
            self.width,
            len(points),
            UNUSED,
            UNUSED,
            True,
            0 if self.inner else 1,
            points.size,
        )
        with path.open("wb") as file:
            file.write(head)
            points.astype("<f4", copy=False).tofile(file)


def load(path: Path, device: str, terms: Mapping[str, np.ndarray]) -> Flat:
    """Map a file of FAISS. Raises UserError for one that is truncated or lies about its size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER.size)
    if len(head) < HEADER.size:
        raise UserError(f"{path} is truncated: {size} bytes hold no index")
    code, width, count, _, _, _, metric, values = HEADER.unpack(head)
    expected = HEADER.size + 4 * values
    if width < 1 or count < 1 or values != count * width or metric != (code == L2):
        raise UserError(
            f"{path} is damaged: {count} vectors of {width} numbers, {values} numbers in all, metric {metric}"
        )
    if size != expected:
        raise UserError(
            f"{path} is truncated or damaged: it has {size} bytes, {count} vectors take {expected}"
        )
    points: Any = np.memmap(path, np.uint8, "r")[HEADER.size :].view(np.ndarray)
    points = np.frombuffer(points, "<f4").reshape(count, width)
    height = max(1, VALUES // width)
    blocks = (points[start : start + height] for start in range(0, count, height))
    if not all(np.isfinite(block).all() for block in blocks):  # reads what the first query would
        raise UserError(f"{path} is damaged: it holds numbers that are not finite")
    sound = {"mean": (width,), "bias": (count,)} == {name: array.shape for name, array in terms.items()}
    return Flat(points, inner=code == INNER, device=device, terms=terms if sound else None)
