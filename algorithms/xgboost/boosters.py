"""One trained booster of any age, ready to predict."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xgboost
from scipy.sparse import csr_array, csr_matrix

from optml.algorithms.xgboost import native
from optml.algorithms.xgboost.legacy import FEW, Forest, cut_from_pickle, is_pickle
from optml.errors import UserError
from optml.formats.records import Features

_NAMES = "optml_feature_names"  # an attribute of ours


class Predictor(Protocol):
    """num_class: 0 where the objective has none."""

    @property
    def objective(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def num_class(self) -> int: ...
    def predict(self, features: Features) -> np.ndarray:
        """(n,) float32, or (n, k) where there are k numbers a row; absent values are missing."""


class Native:
    """A booster of the library (`Predictor`). `predict` may be called from several threads."""

    def __init__(self, booster: xgboost.Booster, device: str = "cpu") -> None:
        self.booster = booster
        learner = json.loads(booster.save_config())["learner"]
        self.objective = str(learner["objective"]["name"])
        self.width = int(booster.num_features())
        self.num_class = int(learner["learner_model_param"]["num_class"])
        self._linear = learner["gradient_booster"]["name"] == "gblinear"
        best = booster.attr("best_iteration")
        self._rounds = (0, int(best) + 1) if best is not None and not self._linear else (0, 0)
        if device != "cpu":
            booster.set_param({"device": device})

    @cached_property
    def _alone(self) -> xgboost.Booster:
        """For few rows: they wake no other threads, and go to no GPU."""
        booster = self.booster.copy()
        booster.set_param({"nthread": 1, "device": "cpu"})
        return booster

    def predict(self, features: Features) -> np.ndarray:
        if isinstance(features, csr_array):
            features = csr_matrix(features)
        if self._linear:
            return self.booster.predict(xgboost.DMatrix(features), validate_features=False)
        booster = self._alone if features.shape[0] <= FEW else self.booster
        predictions: np.ndarray = booster.inplace_predict(
            features, iteration_range=self._rounds, validate_features=False
        )
        return predictions

    def gains(self) -> np.ndarray:
        """(width,) float64, the sum of what the splits at each feature have gained; zeros of a linear one."""
        gains = np.zeros(self.width)
        if not self._linear:
            names = self.booster.feature_names or [f"f{place}" for place in range(self.width)]
            scores = self.booster.get_score(importance_type="total_gain")
            gains[:] = [np.sum(scores.get(name, 0.0)) for name in names]
        return gains


def read(path: Path, device: str = "cpu") -> Predictor:
    """A model file of any age. Raises UserError saying what is wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if is_pickle(content):
        content = cut_from_pickle(content, str(path))
    if content[:1] != b"{":
        return Forest.read(content, str(path))
    try:
        return Native(parse(content), device)
    except ValueError as error:  # XGBoostError is one
        raise UserError(f"{path} is a damaged XGBoost model: {reason(error)}") from None


def parse(content: bytes) -> xgboost.Booster:
    """A model in JSON or UBJSON. Raises ValueError for what is none (XGBoostError is one)."""
    booster = xgboost.Booster()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an older version wrote it
        booster.load_model(bytearray(native.check(content)))
    return booster


def feature_names(booster: xgboost.Booster) -> tuple[str, ...]:
    """The names of a model's features, as many as these; empty where it has none."""
    names: object = booster.feature_names
    if not names:
        try:
            names = json.loads(booster.attr(_NAMES) or "[]")
        except ValueError:  # an attribute of somebody else's
            return ()
    if not isinstance(names, list) or len(names) != booster.num_features():
        return ()
    return tuple(map(str, names))


def set_feature_names(booster: xgboost.Booster, names: Sequence[str]) -> None:
    """Write names beside the trees. As an attribute: with `feature_names` the library would refuse the bare
    arrays of those who load the model themselves, which it takes of AWS's models."""
    booster.set_attr(**{_NAMES: json.dumps(list(names)) if names else None})


def reason(error: Exception) -> str:
    """The sentence of an error; of one of the library, without time, place and stack."""
    text = str(error).split("\nStack trace")[0].strip()
    if text.startswith("["):
        text = text.partition("] ")[2] or text
        text = text.partition(": ")[2] or text
    if text.startswith("Check failed: "):
        text = text.removeprefix("Check failed: ").partition(": ")[2] or text
    return " ".join(text.split())


def raw(booster: Any) -> bytes:
    """The bytes of a model file: UBJSON."""
    return bytes(booster.save_raw("ubj"))
