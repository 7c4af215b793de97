"""A model trained by AWS's image: `model_algo-1-config.json`, and beside it the arrays and the graph."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from optml.algorithms import mxnet_symbol, ndarray
from optml.algorithms.forecasting_deepar.facts import Facts
from optml.algorithms.forecasting_deepar.frequency import Frequency
from optml.algorithms.forecasting_deepar.hyperparameters import Hyperparameters, Likelihood
from optml.algorithms.mxnet_symbol import feeder
from optml.errors import UserError

log = logging.getLogger(__name__)

CONFIGS = "model_algo-*-config.json"
SUFFIX = "-config.json"


def recognises(folder: Path) -> bool:
    """Is this such a folder? By the configuration's keys, for other algorithms may name their files alike."""
    try:
        config = json.loads(_config(folder).read_text())
    except (OSError, ValueError, UserError):
        return False
    return isinstance(config, dict) and {"time_freq", "prediction_length", "likelihood"} <= config.keys()


def read(folder: Path) -> tuple[Hyperparameters, Facts, dict[str, np.ndarray]]:
    """Raises UserError saying what is missing or damaged."""
    path = _config(folder)
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path} holds no JSON object")
    arrays = _arrays(path)
    try:
        return *_described(config, arrays, _scale(path)), arrays
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise UserError(f"{path} does not describe a DeepAR model: {type(error).__name__}: {error}") from None


def _described(
    config: dict[str, Any], arrays: dict[str, np.ndarray], scale: float
) -> tuple[Hyperparameters, Facts]:
    frequency = Frequency.parse(config["time_freq"])
    lags = int(frequency.lags[-1])
    recurrent = [name for name in arrays if name.startswith("lstm_l_") and name.endswith("h2h_weight")]
    if not recurrent:
        raise ValueError(f"there are no LSTM layers among its arrays {', '.join(sorted(arrays))}")
    tables = [name for name in arrays if name.startswith("embed_")]
    likelihoods = {name.lower(): name for name in get_args(Likelihood)}
    parameters = Hyperparameters.model_validate(
        {
            "context_length": config["train_length"] - lags,  # it counts the steps that only lags reach
            "prediction_length": config["prediction_length"],
            "time_freq": config["time_freq"],
            "likelihood": likelihoods.get(str(config["likelihood"]).lower(), config["likelihood"]),
            "num_cells": arrays[recurrent[0]].shape[-1],
            "num_layers": len(recurrent),
            "embedding_dimension": arrays[tables[0]].shape[-1] if tables else 1,
            "epochs": 1,
        }
    )
    cardinality = tuple(arrays[f"embed_{number}_weight"].shape[0] for number in range(len(tables)))
    return parameters, Facts(cardinality, int(config.get("num_dynamic_feat") or 0), scale)


def _config(folder: Path) -> Path:
    configs = sorted(folder.glob(CONFIGS))
    if not configs:
        raise UserError(f"{folder} holds no model of DeepAR: neither model.json nor {CONFIGS}")
    return configs[0]


def _scale(config: Path) -> float:
    """The scale of a series without observations, or of zeros: the mean absolute training value. It is a
    constant of the graph: the scalar that ones are multiplied by where there is no other scale."""
    path = config.with_name(config.name.removesuffix(SUFFIX) + "-symbol.json")
    try:
        graph = json.loads(path.read_text())
    except FileNotFoundError:
        graph = {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}; it belongs to {config.name}") from None
    scalars = set(_scalars_where_nothing_is_observed(mxnet_symbol.nodes(graph)))
    if len(scalars) == 1:
        return scalars.pop()
    log.warning(
        "%s does not tell the mean of the training values: series without observations are scaled by 1", path
    )
    return 1.0


def _scalars_where_nothing_is_observed(nodes: list[dict[str, Any]]) -> Iterator[float]:
    """The finite scalars of `where(_, _, _mul_scalar(ones_like(_)))`."""
    for node in nodes:
        product = feeder(nodes, node, 2) if node.get("op") == "where" else {}
        if product.get("op") == "_mul_scalar" and feeder(nodes, product, 0).get("op") == "ones_like":
            try:
                scalar = float(mxnet_symbol.attributes(product)["scalar"])
            except (KeyError, TypeError, ValueError):
                continue
            if 0 <= scalar < math.inf:
                yield scalar


def _arrays(config: Path) -> dict[str, np.ndarray]:
    """By name without prefix."""
    path = config.with_name(config.name.removesuffix(SUFFIX) + "-0000.params")
    try:
        values, names = ndarray.decode(path.read_bytes(), path.name)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; it belongs to {config.name}") from None
    arrays = {}
    for name, value in zip(names, values, strict=False):
        dense = value.dense() if isinstance(value, ndarray.RowSparse) else value
        arrays[name.partition(":")[2] or name] = dense.astype(np.float32)
    return arrays
