"""The linear model that training leaves, for raw features: answers, artifacts of ours and of AWS's image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import artifact, mxnet_archive
from optml.algorithms.linear_learner import aws
from optml.algorithms.linear_learner.aws import Module, recognises
from optml.algorithms.linear_learner.hyperparameters import LOSSES
from optml.errors import UserError
from optml.formats.records import Columns, Features, Records

__all__ = ["Model", "answers_of", "load", "recognises"]

SLUG = "linear-learner"
BLOCK = 32  # rows of one product; of one size, BLAS sums every row up in the same order


class Model:
    """z = x . weight + bias, and what is served of it.

    weight, bias:    (C, d) and (C,) float32; C is 1, or the number of classes of a multiclass classifier.
    threshold:       a binary classifier's served score above it means label 1.
    hyperparameters: those of the job.   chosen: what of them the best model had, and what `auto` became.
    mean, stdev:     (d,) float64 of the training features, for a job that goes on from this model.
    metrics:         what the model is known to reach, by name.

    The model computes on the CPU wherever it serves: a product of a matrix with few columns takes less time
    than the copy of the rows to a GPU.
    """

    def __init__(
        self,
        weight: np.ndarray,
        bias: np.ndarray,
        *,
        predictor_type: str,
        loss: str,
        threshold: float = 0.5,
        hyperparameters: Mapping[str, Any] | None = None,
        choices: Mapping[str, Any] | None = None,
        mean: np.ndarray | None = None,
        stdev: np.ndarray | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        self.weight = np.ascontiguousarray(weight, dtype=np.float32)
        self.bias = np.ascontiguousarray(bias, dtype=np.float32)
        self.predictor_type = predictor_type
        self.loss = loss
        self.threshold = float(threshold)
        self.hyperparameters = dict(hyperparameters or {})
        self.choices = dict(choices or {})
        self.mean = mean
        self.stdev = stdev
        self.metrics = dict(metrics or {})
        self.width = self.weight.shape[1]

    def predict(self, batch: Records, options: Mapping[str, str]) -> Columns:
        """score: (n,) float32, or (n, C) of a multiclass classifier; predicted_label: (n,) int64, unless of
        a regressor. The answer to a row does not depend on the others of its batch. Raises UserError for
        rows of another width, and for values so large that float32 does not hold their scores."""
        if batch.width != self.width:
            raise UserError(
                f"{batch.where(0)} has {batch.width} values, but the model was trained with "
                f"{self.width} features: send {self.width} values a record"
            )
        with np.errstate(over="ignore", invalid="ignore"):  # told of right here
            score = answers_of(self.raw(batch.features), self.loss)
        finite = np.isfinite(score).all(axis=1)
        if not finite.all():
            raise UserError(
                f"{batch.where(int(finite.argmin()))} has values too large: its score is not finite"
            )
        if self.predictor_type == "multiclass_classifier":
            return {"score": score, "predicted_label": score.argmax(axis=1)}
        score = score[:, 0]
        if self.predictor_type == "regressor":
            return {"score": score}
        return {"score": score, "predicted_label": (score > np.float32(self.threshold)).astype(np.int64)}

    def raw(self, features: Features) -> np.ndarray:
        """z of every row: (n, C) float32. Sparse rows stay sparse."""
        if not isinstance(features, np.ndarray):
            product: np.ndarray = features @ self._columns
        elif len(self.weight) == 1:
            product = np.einsum("ij,j->i", features, self.weight[0])[:, None]
        else:
            product = self._blocks(features)
        return product + self.bias

    @cached_property
    def _columns(self) -> np.ndarray:
        """The weights (d, C) as SciPy multiplies them; of one output, the very same memory."""
        return np.ascontiguousarray(self.weight.T)

    def _blocks(self, features: np.ndarray) -> np.ndarray:
        product = np.empty((len(features), len(self.weight)), np.float32)
        whole = len(features) // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            np.matmul(features[start : start + BLOCK], self.weight.T, out=product[start : start + BLOCK])
        if whole < len(features):
            last = np.zeros((BLOCK, self.width), np.float32)
            last[: len(features) - whole] = features[whole:]
            product[whole:] = (last @ self.weight.T)[: len(features) - whole]
        return product

    def save(self, folder: Path) -> None:
        """Write model.safetensors, model.json, and the archive that AWS's image writes."""
        scaler = {"mean": self.mean, "stdev": self.stdev}
        arrays = {"weight": self.weight, "bias": self.bias}
        arrays |= {name: array for name, array in scaler.items() if array is not None}
        classifier = self.predictor_type == "multiclass_classifier"
        facts = {
            "predictor_type": self.predictor_type,
            "loss": self.loss,
            "threshold": self.threshold if self.predictor_type == "binary_classifier" else None,
            "num_classes": len(self.weight) if classifier else None,
            "feature_dim": self.width,
            "chosen": self.choices,
            "metrics": self.metrics,
        }
        artifact.write(folder, SLUG, arrays, self.hyperparameters, facts)
        metrics = self.hyperparameters | self.choices
        Module(self.weight, self.bias, self.predictor_type, self.loss, self.threshold, metrics).write(
            folder / "model_algo-1"
        )


def answers_of(z: np.ndarray, loss: str) -> np.ndarray:
    """The scores that are served of raw ones, float32 (..., C): probabilities where the loss has them."""
    if loss == "logistic":
        with np.errstate(over="ignore"):  # of exp(-z) where the probability is 0
            return np.asarray(1 / (1 + np.exp(-z)))
    if loss == "softmax_loss":
        powers = np.exp(z - z.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    return z


def load(folder: Path, device: str) -> Model:
    """Load an artifact of ours, or else one of AWS's. Raises UserError that says what is wrong with it."""
    if artifact.exists(folder):
        return _ours(folder)
    path = mxnet_archive.find(folder)
    if path is None:
        raise UserError(
            f"{folder} holds no model of Linear Learner: expected model.json with model.safetensors, or the "
            f"ZIP archive model_algo-1; found {artifact.listing(folder)}"
        )
    theirs = aws.read(path)
    threshold = 0.5 if theirs.threshold is None else theirs.threshold
    model = Model(
        theirs.weight,
        theirs.bias,
        predictor_type=theirs.predictor_type,
        loss=theirs.loss,
        threshold=threshold,
        choices={name: value for name, value in theirs.metrics.items() if name != "threshold"},
    )
    return _require_finite(model, path)


def _ours(folder: Path) -> Model:
    ours = artifact.read(folder, SLUG, ("weight", "bias"))
    facts = ours.facts
    threshold = facts.get("threshold")
    if threshold is not None and not isinstance(threshold, int | float):
        raise UserError(f"{folder / artifact.DESCRIPTION}: threshold is no number: {threshold!r}")
    choices, metrics = (facts.get(name, {}) for name in ("chosen", "metrics"))
    if not isinstance(choices, dict) or not isinstance(metrics, dict):
        raise UserError(f"{folder / artifact.DESCRIPTION}: chosen and metrics must be objects")
    weight, bias = ours.arrays["weight"], ours.arrays["bias"]
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise UserError(
            f"{folder / artifact.ARRAYS}: weight must be of shape (outputs, feature_dim), bias (outputs,), "
            f"found {weight.shape} and {bias.shape}"
        )
    model = Model(
        weight,
        bias,
        predictor_type=str(facts.get("predictor_type")),
        loss=str(facts.get("loss")),
        threshold=0.5 if threshold is None else threshold,
        hyperparameters=ours.hyperparameters,
        choices=choices,
        mean=ours.arrays.get("mean"),
        stdev=ours.arrays.get("stdev"),
        metrics=metrics,
    )
    return _require_finite(model, folder)


def _require_finite(model: Model, path: Path) -> Model:
    losses = LOSSES.get(model.predictor_type)
    if losses is None:
        raise UserError(
            f"{path}: predictor_type is '{model.predictor_type}', expected one of {', '.join(LOSSES)}"
        )
    if model.loss not in losses:
        raise UserError(
            f"{path}: the loss '{model.loss}' is not one of a {model.predictor_type}: {', '.join(losses)}"
        )
    outputs, width = model.weight.shape
    if not width or not outputs or (outputs > 1) != (model.predictor_type == "multiclass_classifier"):
        raise UserError(f"{path}: {outputs} outputs of {width} features are no {model.predictor_type}")
    for name, array in (("weight", model.weight), ("bias", model.bias), ("threshold", model.threshold)):
        if not np.isfinite(array).all():
            raise UserError(f"{path}: the {name} of the model is not finite: train it again")
    return model
