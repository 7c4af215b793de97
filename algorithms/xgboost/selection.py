"""Selectable inference: which facts of a prediction the answer holds (`SAGEMAKER_INFERENCE_OUTPUT`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from optml.errors import PlatformError, UserError, nearest, shown

log = logging.getLogger(__name__)

VARIABLE = "SAGEMAKER_INFERENCE_OUTPUT"

_LABELS = ("predicted_label", "labels", "raw_score", "raw_scores")
_PROBABILITIES = ("predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores")
KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("reg:squarederror", "reg:linear", "reg:logistic", "reg:gamma", "reg:absoluteerror", "reg:tweedie"),
        ("predicted_score",),
    ),
    **dict.fromkeys(("binary:logistic", "multi:softprob"), _PROBABILITIES),
    **dict.fromkeys(("binary:logitraw", "binary:hinge", "multi:softmax"), _LABELS),
}


def keys_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys that the environment asks for; none: the plain answer."""
    return _keys(environment.get(VARIABLE, ""))


def require_known(text: str) -> None:
    """Raise UserError for a value of the variable that names a key which no objective has."""
    names = sorted({key for keys in KEYS.values() for key in keys})
    for key in _keys(text):
        if key not in names:
            hint = nearest(key, names, "known are")
            raise UserError(f"environment variable {VARIABLE} names {shown(key)}{hint}")


def require(objective: str, keys: Sequence[str]) -> None:
    """Raise PlatformError for an objective that has none of the keys: the server is set up wrongly."""
    if keys and objective not in KEYS:
        raise PlatformError(f"Objective {objective} unsupported for selectable inference predictions.")


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key for key in text.replace(" ", "").lower().split(",") if key)


def select(
    predictions: np.ndarray, objective: str, num_class: int, keys: Sequence[str]
) -> dict[str, np.ndarray]:
    """The keys of predictions (n,) or (n, k), in their order; NaN where the objective has no such thing.

    Raises PlatformError for an objective that has none of them: the server is set up wrongly.
    """
    require(objective, keys)
    wide = predictions.astype(np.float64)  # so that 1 - p is as exact as p
    columns: dict[str, np.ndarray] = {}
    for key in keys:
        if key in KEYS[objective]:
            columns[key] = _column(key, wide, objective, num_class)
        else:
            log.warning("Selected key %s is not compatible with objective %s: NaN", key, objective)
            columns[key] = np.full(len(wide), np.nan)
    return columns


def _column(key: str, wide: np.ndarray, objective: str, num_class: int) -> Any:
    several = wide.ndim > 1
    if key == "predicted_label":
        if several:
            return wide.argmax(axis=1)
        if objective in ("binary:hinge", "multi:softmax"):
            return wide
        return (wide > (0.0 if objective == "binary:logitraw" else 0.5)).astype(np.int64)
    if key == "labels":
        return np.tile(np.arange(num_class or 2), (len(wide), 1))
    if key in ("probability", "raw_score"):
        return wide.max(axis=1) if several else wide
    if key in ("probabilities", "raw_scores"):
        return wide if several else np.column_stack([1 - wide, wide])
    return wide  # predicted_score
