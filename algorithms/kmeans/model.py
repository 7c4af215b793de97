"""The k centers that training leaves: answers, artifacts of ours and of AWS's image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import artifact, ndarray
from optml.errors import UserError
from optml.formats.records import Columns, Records

AWS_FILES = "model_algo-*"
FEW = 1 << 15  # distances up to which NumPy answers: to load the compiled kernel takes longer


class Model:
    """centers: (k, d) float32.   cluster_weights: (k,) float64, how many rows each stands for (decayed)."""

    def __init__(
        self,
        centers: np.ndarray,
        cluster_weights: np.ndarray,
        hyperparameters: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        self.centers = np.ascontiguousarray(centers, dtype=np.float32)
        self.cluster_weights = cluster_weights
        self.hyperparameters = dict(hyperparameters or {})
        self.device = device
        self.width = self.centers.shape[1]
        # Scores x.c - |c|^2 / 2, taken around the mean of the centers to keep their digits.
        self._mean = self.centers.mean(axis=0, dtype=np.float64).astype(np.float32)
        lanes = self.centers - self._mean
        self._lanes = np.ascontiguousarray(lanes.T)
        self._bias = -0.5 * np.square(lanes).sum(axis=1)

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """The nearest center and the Euclidean distance to it: two columns of (n,) float32."""
        rows = batch.dense()
        if rows.shape[1] != self.width:
            raise UserError(
                f"{batch.where(0)} has {rows.shape[1]} values, but the model was trained with "
                f"{self.width} features"
            )
        labels, distances = self.assign(rows)
        return {"closest_cluster": labels.astype(np.float32), "distance_to_cluster": distances}

    def assign(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) and Euclidean distances (n,) float32 of (n, d) float32 rows.

        Distances are summed up from differences, so that a row near its center loses no digits.
        """
        if len(rows) * len(self.centers) > FEW:
            return self._assign_many(rows)
        scores = (rows - self._mean) @ self._lanes
        scores += self._bias
        labels = scores.argmax(axis=1)
        difference = rows - self.centers[labels]
        return labels, np.sqrt(np.einsum("ij,ij->i", difference, difference))

    def _assign_many(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from optml.algorithms.kernels.nearest import nearest

        if self.device == "cpu":
            labels, squares = nearest(rows, self.centers)
            return labels, np.sqrt(squares)
        import torch

        labels, squares = nearest(torch.tensor(rows, device=self.device), self._centers_on_device)
        return labels.cpu().numpy(), squares.sqrt().cpu().numpy()

    @cached_property
    def _centers_on_device(self) -> Any:
        import torch

        return torch.tensor(self.centers, device=self.device)

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json, and the centers as AWS's image writes them."""
        arrays = {"centers": self.centers, "cluster_weights": self.cluster_weights}
        artifact.write(folder, "kmeans", arrays, self.hyperparameters)
        (folder / "model_algo-1").write_bytes(ndarray.encode([self.centers]))


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours, or else one of AWS's. Raises UserError that says what is wrong with it."""
    if artifact.exists(folder):
        ours = artifact.read(folder, "kmeans", ("centers", "cluster_weights"))
        centers = _require_centers(ours.arrays["centers"], folder / artifact.ARRAYS)
        weights = ours.arrays["cluster_weights"]
        if weights.shape != centers.shape[:1]:
            raise UserError(
                f"{folder / artifact.ARRAYS}: {len(centers)} centers, but weights of shape {weights.shape}"
            )
        return Model(centers, weights, ours.hyperparameters, device)
    files = sorted(folder.glob(AWS_FILES))
    if not files:
        raise UserError(
            f"{folder} holds no K-Means model: expected model.json with model.safetensors, or model_algo-1; "
            f"found {artifact.listing(folder)}"
        )
    centers = _of_aws(files[0])
    return Model(centers, np.ones(len(centers)), {}, device)


def recognises(folder: Path) -> bool:
    """Is this what AWS's image writes: an NDArray list of one nameless matrix?"""
    files = sorted(folder.glob(AWS_FILES))
    try:
        return bool(files) and _of_aws(files[0]) is not None
    except UserError:
        return False


def _of_aws(path: Path) -> np.ndarray:
    arrays, names = ndarray.read(path, "K-Means")
    if len(arrays) != 1 or not isinstance(arrays[0], np.ndarray):
        content = ", ".join(names) or f"{len(arrays)} arrays"
        raise UserError(f"{path} is no K-Means model: expected one matrix of centers, found {content}")
    return _require_centers(arrays[0], path)


def _require_centers(centers: np.ndarray, path: Path) -> np.ndarray:
    if centers.ndim != 2 or 0 in centers.shape or centers.dtype.kind != "f":
        raise UserError(
            f"{path}: the centers must be a matrix of floats (k, feature_dim), "
            f"found shape {centers.shape} of {centers.dtype}"
        )
    if not np.isfinite(centers).all():
        raise UserError(f"{path}: center {int(np.argmin(np.isfinite(centers).all(axis=1)))} is not finite")
    return centers


def streaming_state(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The weighted centers (k, d) float64 and weights (k,) float64 that training may go on from.

    AWS's image leaves them in `state_*`, as arrays "0" (K, d) and "1" (K, 1); where it lies beside its model
    it is taken. A bare `model_algo-1` has no weights: each center then counts as one row.
    """
    states = [] if artifact.exists(folder) else sorted(folder.glob("state_*"))
    if states:
        arrays, names = ndarray.read(states[0], "K-Means")
        state = dict(zip(names, arrays, strict=False))
        centers, weights = state.get("0"), state.get("1")
        if (
            isinstance(centers, np.ndarray)
            and isinstance(weights, np.ndarray)
            and len(weights) == len(centers)
        ):
            return _require_centers(centers, states[0]).astype(np.float64), weights.reshape(
                len(centers)
            ).astype(np.float64)
        raise UserError(f"{states[0]}: expected centers '0' (K, d) and weights '1' (K, 1)")
    model = load(folder, "cpu")
    return model.centers.astype(np.float64), np.array(model.cluster_weights, dtype=np.float64)
