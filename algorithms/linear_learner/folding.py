"""Weights for scaled features and labels <-> weights for raw ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from optml.algorithms.linear_learner.hyperparameters import Hyperparameters
from optml.algorithms.linear_learner.labels import LARGEST
from optml.algorithms.linear_learner.model import Model, load
from optml.algorithms.linear_learner.scaler import Scaler
from optml.errors import UserError


def fold(
    weight: np.ndarray,
    bias: np.ndarray,
    scaler: Scaler,
    hyperparameters: Hyperparameters,
    error: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, d) and biases (C,) float64 for raw features and labels, of those for scaled ones.

    A least-squares model gets the bias that leaves no mean error on the scaler's rows. `error` is its mean
    error (prediction - label) on the validation channel, None without one: where the shift would make its
    squared error larger there, the bias stays. Raises UserError for weights beyond float32.
    """
    shift, scale = scaler.label_shift(hyperparameters), scaler.label_scale(hyperparameters)
    weight = weight * scale * scaler.scale(hyperparameters)
    bias = shift + scale * bias - weight @ scaler.shift(hyperparameters)
    if hyperparameters.chosen_loss == "squared_loss" and hyperparameters.use_bias:
        offset = scaler.label[0] - weight @ scaler.mean - bias
        # mean (e + c)^2 - mean e^2 = c (2 mean e + c)
        if error is None or offset * (2 * error + offset) <= 0:
            bias = bias + offset
    largest = max(np.abs(weight).max(), np.abs(bias).max())
    if largest > LARGEST:
        raise UserError(
            f"weights of up to {largest:.2g} for features as they are given are beyond float32: multiply "
            "features of very small values, or divide the labels, by a power of ten"
        )
    return weight, bias


def unfold(model: Model, scaler: Scaler, hyperparameters: Hyperparameters) -> tuple[np.ndarray, np.ndarray]:
    """Weights (C, d) and biases (C,) float64 for scaled features and labels, of a model for raw ones. Raises
    UserError where the model has other features."""
    width = len(scaler.mean)
    if model.width != width:
        raise UserError(
            f"the model in the channel 'model' has {model.width} features, but the records of channel "
            f"'train' {width}: train on the same features, or without that channel"
        )
    shift, scale = scaler.label_shift(hyperparameters), scaler.label_scale(hyperparameters)
    weight, bias = model.weight.astype(np.float64), model.bias.astype(np.float64)
    bias = (bias - shift + weight @ scaler.shift(hyperparameters)) / scale
    if not hyperparameters.use_bias:
        bias = np.zeros_like(bias)
    return weight / (scale * scaler.scale(hyperparameters)), bias


def earlier(folder: Path, hyperparameters: Hyperparameters) -> Model:
    """The model that an incremental job goes on from, ours or AWS's. Raises UserError."""
    try:
        model = load(folder, "cpu")
    except UserError as error:  # the folder is where the channel was unpacked, and means nothing to users
        raise UserError(f"channel 'model': {str(error).replace(f'{folder}/', '')}") from error
    predictor_type, outputs = hyperparameters.predictor_type, hyperparameters.outputs
    if model.predictor_type != predictor_type or len(model.weight) != outputs:
        raise UserError(
            f"the model in the channel 'model' is a {model.predictor_type} of {len(model.weight)} scores, "
            f"but this job trains a {predictor_type} of {outputs}"
        )
    return model
