"""A trained factorization machine: answers, and artifacts of ours and of AWS's image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from scipy.sparse import csr_array

from optml.algorithms import artifact
from optml.algorithms.factorization_machines import aws
from optml.algorithms.factorization_machines.hyperparameters import Hyperparameters
from optml.algorithms.factorization_machines.initial import Initial
from optml.errors import UserError
from optml.formats.records import Columns, Features, Records

SLUG = "factorization-machines"
FACTORS, WEIGHTS, BIAS, IDS, SEED = "v", "w1_weight", "w0_weight", "ids", "seed"
AWS_BYTES = 2 << 30  # of factors, up to which a model is also written in AWS's format


class Model:
    """Scores w0 + sum_i w_i x_i + pair terms, as `algorithms.kernels.factorized` defines them.

    factors: (m, k) float32.   weights: (m,) float32.   width: feature_dim, d.
    ids:     None: of all d features (m = d), else (m,) int64 ascending: of these alone. The others have what
             `initial` gives them, or zeros where that is None, too.
    Answers are computed by NumPy on any device: their cost is that of reading a few rows.
    """

    def __init__(
        self,
        factors: np.ndarray,
        weights: np.ndarray,
        bias: float,
        *,
        predictor_type: str,
        width: int,
        ids: np.ndarray | None = None,
        initial: Initial | None = None,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.factors = factors
        self.weights = weights
        self.bias = bias
        self.predictor_type = predictor_type
        self.width = width
        self.ids = ids
        self.hyperparameters = dict(hyperparameters or {})
        self._initial = initial

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """`score`, (n,) float32; of a classifier the probability of label 1, and `predicted_label`, integers:
        1 from a score of 0.5 on."""
        if batch.width != self.width:
            raise UserError(
                f"{batch.where(0)} has {batch.width} values, but the model was trained with "
                f"{self.width} features"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self.scores(batch.features)
        if not np.isfinite(scores).all():
            row = int(np.argmin(np.isfinite(scores)))
            raise UserError(
                f"{batch.where(row)} has values so large that its score is beyond float32; scale them as the "
                "training data were"
            )
        if self.predictor_type == "regressor":
            return {"score": scores}
        probabilities = np.exp(-np.logaddexp(0, -scores.astype(np.float64))).astype(np.float32)
        return {"score": probabilities, "predicted_label": (probabilities >= 0.5).astype(np.int64)}

    def scores(self, features: Features) -> np.ndarray:
        """(n,) float32 of features (n, d), dense or sparse; only the rows of features that occur are read."""
        if isinstance(features, np.ndarray) and self.ids is None:
            factors, weights, lengths = self.factors, self.weights, self._lengths
        else:
            rows = csr_array(features)
            columns, places = np.unique(rows.indices, return_inverse=True)
            factors, weights = self._rows(columns)
            lengths = _squares(factors)
            shape = (rows.shape[0], len(columns))
            features = csr_array((rows.data, places.astype(rows.indptr.dtype), rows.indptr), shape=shape)
        sums = features @ factors  # (n, k)
        pairs = 0.5 * (_squares(sums) - (features * features) @ lengths)
        scores: np.ndarray = (self.bias + features @ weights + pairs).astype(np.float32)
        return scores

    @cached_property
    def _lengths(self) -> np.ndarray:
        return _squares(self.factors)

    def _rows(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factors (m, k) and weights (m,) of some features in ascending order."""
        if self.ids is None:
            return self.factors[features], self.weights[features]
        at = np.minimum(np.searchsorted(self.ids, features), max(len(self.ids) - 1, 0))
        mask = self.ids[at] == features if len(self.ids) else np.zeros(len(features), bool)
        factors = np.zeros((len(features), self.factors.shape[1]), np.float32)
        weights = np.zeros(len(features), np.float32)
        factors[mask], weights[mask] = self.factors[at[mask]], self.weights[at[mask]]
        if self._initial is not None and not mask.all():
            rows = self._initial.rows(features[~mask])
            factors[~mask], weights[~mask] = rows[:, :-1], rows[:, -1]
        return factors, weights

    def save(self, folder: Path) -> None:
        """Write model.safetensors and model.json, and AWS's file where that does not get too large."""
        arrays = {
            FACTORS: self.factors,
            WEIGHTS: self.weights.reshape(-1, 1),
            BIAS: np.array([self.bias], np.float32),
        }
        if self.ids is not None:
            arrays[IDS] = self.ids
            if self._initial is not None:
                arrays[SEED] = np.array([self._initial.seed % 2**64], np.uint64)
        artifact.write(folder, SLUG, arrays, self.hyperparameters | {"predictor_type": self.predictor_type})
        if self.factors.nbytes <= AWS_BYTES:
            own = aws.ModelArrays(
                self.factors, self.weights, self.bias, self.width, self.ids, self.predictor_type
            )
            aws.write(folder / "model_algo-1", own, self.hyperparameters)


def _squares(rows: np.ndarray) -> np.ndarray:
    """The squared lengths (n,) of rows (n, k)."""
    squares: np.ndarray = np.einsum("ij,ij->i", rows, rows)
    return squares


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours, or else one of AWS's. Raises UserError that says what is wrong with it."""
    if artifact.exists(folder):
        return _ours(folder)
    archive = aws.find(folder)
    if archive is None:
        raise UserError(
            f"{folder} holds no factorization machine: expected model.json with model.safetensors, or AWS's "
            f"ZIP model_algo-1; found {artifact.listing(folder)}"
        )
    own = aws.read(archive)
    return Model(
        own.factors, own.weights, own.bias, predictor_type=own.predictor_type, width=own.width, ids=own.ids
    )


def recognises(folder: Path) -> bool:
    """Is this what AWS's image writes: a ZIP with the factors `v`?"""
    archive = aws.find(folder)
    try:
        return archive is not None and aws.read(archive) is not None
    except UserError:
        return False


def _ours(folder: Path) -> Model:
    saved = artifact.read(folder, SLUG, (FACTORS, WEIGHTS, BIAS))
    path = folder / artifact.ARRAYS
    factors, weights, bias = (saved.arrays[name] for name in (FACTORS, WEIGHTS, BIAS))
    ids, seed = saved.arrays.get(IDS), saved.arrays.get(SEED)
    if factors.ndim != 2 or weights.size != len(factors) or bias.size != 1:
        raise UserError(
            f"{path}: expected v (d, k), w1_weight (d, 1) and w0_weight (1,), found {factors.shape}, "
            f"{weights.shape} and {bias.shape}"
        )
    if ids is not None and ids.shape != factors.shape[:1]:
        raise UserError(f"{path}: {len(factors)} rows, but ids of shape {ids.shape}")
    hyperparameters = saved.hyperparameters
    predictor_type, width = hyperparameters.get("predictor_type"), hyperparameters.get("feature_dim")
    if predictor_type not in ("regressor", "binary_classifier") or not isinstance(width, int):
        raise UserError(
            f"{folder / artifact.DESCRIPTION}: the hyperparameters need predictor_type and feature_dim, "
            f"found {predictor_type} and {width}"
        )
    if hyperparameters.get("num_factors") not in (None, factors.shape[1]):
        raise UserError(
            f"{path} holds {factors.shape[1]} factors, but num_factors is {hyperparameters['num_factors']}"
        )
    if ids is None and len(factors) != width:
        raise UserError(f"{path} holds {len(factors)} features, but feature_dim is {width}")
    initial = None
    if ids is not None and seed is not None:
        if seed.shape != (1,) or seed.dtype.kind not in "iu":
            raise UserError(f"{path}: seed must be one integer, found shape {seed.shape} of {seed.dtype}")
        try:
            initial = Initial(Hyperparameters.model_validate(hyperparameters), int(seed[0]))
        except ValidationError as error:
            wrong = ", ".join(str(item["loc"][0]) for item in error.errors() if item["loc"])
            raise UserError(f"{folder / artifact.DESCRIPTION}: unusable hyperparameters: {wrong}") from None
    return Model(
        factors,
        weights.reshape(-1),
        float(bias.reshape(-1)[0]),
        predictor_type=predictor_type,
        width=width,
        ids=ids,
        initial=initial,
        hyperparameters=hyperparameters,
    )
