"""The components that training leaves: projections, artifacts of ours and of AWS's image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from optml.algorithms import artifact, ndarray
from optml.algorithms.pca.components import Components
from optml.errors import UserError
from optml.formats.records import Columns, Records

AWS_FILES = "model_algo-*"
BLOCK = 4096  # rows that are projected at a time: centered ones stay in the cache
ORDER = "ascending, last column leads"


class Model:
    """s: (r,) float32 singular values, ascending; of AWS's models the first may be NaN.
    v: (d, r) float32, the direction of each.   mean: (1, d) float32; None: rows are not centered.
    total_variance, rows: see `Components`; None where an artifact of AWS's does not tell."""

    def __init__(
        self,
        s: np.ndarray,
        v: np.ndarray,
        mean: np.ndarray | None,
        *,
        total_variance: float | None = None,
        rows: int | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        self.s = np.ascontiguousarray(s, dtype=np.float32)
        self.v = np.ascontiguousarray(v, dtype=np.float32)
        self.mean = None if mean is None else np.ascontiguousarray(mean, dtype=np.float32).reshape(1, -1)
        self.total_variance = total_variance
        self.rows = rows
        self.hyperparameters = dict(hyperparameters or {})
        self.device = device
        self.width = self.v.shape[0]

    @classmethod
    def of(cls, components: Components, hyperparameters: Mapping[str, Any], device: str) -> Model:
        return cls(
            components.singular_values,
            components.directions,
            components.mean,
            total_variance=components.total_variance,
            rows=components.rows,
            hyperparameters=hyperparameters,
            device=device,
        )

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """`projection`, (n, r) float32: (x - mean) v, the leading component last. Raises UserError for rows
        of another width, and for values so large that float32 does not hold their projections."""
        if batch.width != self.width:
            raise UserError(
                f"{batch.where(0)} has {batch.width} values, but the model was trained with "
                f"{self.width} features"
            )
        with np.errstate(over="ignore", invalid="ignore"):  # told of right here
            projection = self.project(batch.features)
        finite = np.isfinite(projection).all(axis=1)
        if not finite.all():
            where = batch.where(int(finite.argmin()))
            raise UserError(f"{where} has values too large: its projection is not finite")
        return {"projection": projection}

    def project(self, rows: Any) -> np.ndarray:
        """(n, r) float32 of (n, d) float32 rows, dense or `csr_array`, which stays sparse."""
        if isinstance(rows, csr_array):
            weights, offset = self._exact
            return np.asarray(rows.astype(np.float64) @ weights - offset, dtype=np.float32)
        if self.device != "cpu" and len(rows) > BLOCK:
            return self._project_on_device(rows)
        if self.mean is None:
            return np.asarray(rows @ self.v)
        if len(rows) <= BLOCK:
            return np.asarray((rows - self.mean) @ self.v)
        projections = np.empty((len(rows), len(self.s)), np.float32)
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            np.matmul(rows[block] - self.mean, self.v, out=projections[block])
        return projections

    def squared_error(self, rows: np.ndarray) -> float:
        """Sum over dense rows of |x - mean - p v^T|^2, what their projections p do not tell of them."""
        total = 0.0
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            left = block - self.project(block) @ self.v.T
            if self.mean is not None:
                left -= self.mean
            total += float(np.einsum("ij,ij->", left, left, dtype=np.float64))
        return total

    @cached_property
    def _exact(self) -> tuple[np.ndarray, np.ndarray]:
        """v and mean v in float64: their difference from a sparse row's product would lose digits in less."""
        weights = self.v.astype(np.float64)
        return weights, np.zeros(len(self.s)) if self.mean is None else self.mean[0].astype(
            np.float64
        ) @ weights

    def _project_on_device(self, rows: np.ndarray) -> np.ndarray:
        import torch

        weights, mean = self._on_device
        batch = torch.tensor(rows, device=self.device)
        return np.asarray(((batch if mean is None else batch - mean) @ weights).cpu())

    @cached_property
    def _on_device(self) -> tuple[Any, Any]:
        import torch

        mean = None if self.mean is None else torch.tensor(self.mean, device=self.device)
        return torch.tensor(self.v, device=self.device), mean

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json, and the arrays as AWS's image writes them."""
        arrays = {"s": self.s, "v": self.v} | ({} if self.mean is None else {"mean": self.mean})
        facts = {} if self.total_variance is None else {"total_variance": np.array(self.total_variance)}
        facts |= {} if self.rows is None else {"n": np.array(self.rows)}
        artifact.write(folder, "pca", arrays | facts, self.hyperparameters, {"order": ORDER})
        (folder / "model_algo-1").write_bytes(ndarray.encode(list(arrays.values()), list(arrays)))


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours, or else one of AWS's. Raises UserError that says what is wrong with it."""
    if artifact.exists(folder):
        ours = artifact.read(folder, "pca", ("s", "v"))
        arrays = ours.arrays
        _check(arrays, folder / artifact.ARRAYS)
        variance, rows = arrays.get("total_variance"), arrays.get("n")
        return Model(
            arrays["s"],
            arrays["v"],
            arrays.get("mean"),
            total_variance=None if variance is None else float(variance.item()),
            rows=None if rows is None else int(rows.item()),
            hyperparameters=ours.hyperparameters,
            device=device,
        )
    files = sorted(folder.glob(AWS_FILES))
    if not files:
        raise UserError(
            f"{folder} holds no PCA model: expected model.json with model.safetensors, or model_algo-1; "
            f"found {artifact.listing(folder)}"
        )
    theirs = _of_aws(files[0])
    return Model(theirs["s"], theirs["v"], theirs.get("mean"), device=device)


def recognises(folder: Path) -> bool:
    """Is this what AWS's image writes: an NDArray list of `s`, `v` and, mostly, `mean`?"""
    files = sorted(folder.glob(AWS_FILES))
    try:
        return bool(files) and bool(_of_aws(files[0]))
    except UserError:
        return False


def _of_aws(path: Path) -> dict[str, np.ndarray]:
    values, names = ndarray.read(path, "PCA")
    arrays = {
        name.rpartition(":")[2]: array
        for name, array in zip(names, values, strict=False)
        if isinstance(array, np.ndarray)
    }
    if not {"s", "v"} <= set(arrays) <= {"s", "v", "mean"} or len(arrays) != len(values):
        content = ", ".join(names) or f"{len(values)} arrays without names"
        raise UserError(f"{path} is no PCA model: expected arrays s, v and, mostly, mean; found {content}")
    _check(arrays, path)
    return arrays


def _check(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Refuse arrays that do not belong together, or projections that would not be finite."""
    s, v, mean = arrays["s"], arrays["v"], arrays.get("mean")
    if v.ndim != 2 or 0 in v.shape or v.dtype.kind != "f" or s.dtype.kind != "f" or s.shape != v.shape[1:]:
        raise UserError(
            f"{path}: v must be a matrix of floats (feature_dim, num_components) and s as long as it has "
            f"columns, found v of shape {v.shape} in {v.dtype} and s of shape {s.shape} in {s.dtype}"
        )
    if mean is not None and (mean.size != len(v) or mean.dtype.kind != "f"):
        raise UserError(f"{path}: the mean must be {len(v)} floats, found shape {mean.shape} of {mean.dtype}")
    if not np.isfinite(v).all() or (mean is not None and not np.isfinite(mean).all()):
        raise UserError(f"{path}: the directions or the mean are not finite")
