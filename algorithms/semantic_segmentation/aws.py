"""A model trained by AWS's image: `hyperparams.json`, `model_algo-1` (the last epoch) and
`model_best.params` (the best one), MXNet's lists of arrays with the names of GluonCV's networks. There is no
graph: all that is not in the names and shapes is in the hyperparameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import artifact
from optml.algorithms.semantic_segmentation.facts import BINS, Facts, bins, depth
from optml.algorithms.semantic_segmentation.hyperparameters import Decoder
from optml.algorithms.vision.architecture import tell
from optml.algorithms.vision.weights import files
from optml.algorithms.vision.weights.naming import GLUON
from optml.errors import UserError

FILES = ("model_best.params", "model_algo-1")  # in the order in which they are taken
SETTINGS = "hyperparams.json"
LOGITS = "head.block.4.weight"


def recognises(folder: Path) -> bool:
    """Does one of the files hold a network with a head of this algorithm?"""
    try:
        return LOGITS in files.params(_params(folder))
    except UserError:
        return False


def read(folder: Path) -> tuple[Facts, dict[str, np.ndarray]]:
    """The facts of a model, and its arrays by our names. Raises UserError saying what is missing or wrong."""
    path = _params(folder)
    foreign = files.params(path)
    arrays = {own: foreign[name] for name, own in GLUON.ours(foreign).items()}
    architecture = tell({name: array.shape for name, array in arrays.items()}, "post")
    logits = arrays.get(LOGITS)
    if architecture is None or logits is None or logits.ndim != 4:
        raise UserError(
            f"{path} holds no network of Semantic Segmentation: of {len(arrays)} arrays none is {LOGITS}, or "
            "the others are of no residual network that we know"
        )
    settings = _settings(folder / SETTINGS)
    facts = Facts(
        architecture,
        _decoder(arrays),
        len(logits),
        auxiliary=any(name.startswith("auxlayer.") for name in arrays),
    )
    _require_agreement(facts, settings, folder / SETTINGS)
    try:
        facts = replace(
            facts,
            crop=int(settings.get("crop_size", facts.crop)),
            base=int(settings.get("base_size", facts.base)),
            bins=bins(settings.get("psp_bins", BINS)),
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder / SETTINGS}: {error}") from None
    return facts, arrays


def _params(folder: Path) -> Path:
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"{folder} holds no model of Semantic Segmentation: neither model.json nor {' nor '.join(FILES)}; "
        f"found {artifact.listing(folder)}"
    )


def _decoder(arrays: Mapping[str, Any]) -> Decoder:
    if any(name.startswith("head.psp.") for name in arrays):
        return "psp"
    return "deeplab" if any(name.startswith("head.aspp.") for name in arrays) else "fcn"


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path} is no object of hyperparameters")
    return settings


def _require_agreement(facts: Facts, settings: Mapping[str, Any], path: Path) -> None:
    """Raise UserError where the arrays are of another network than the hyperparameters say."""
    told: dict[str, tuple[Any, Any]] = {}
    try:
        if "backbone" in settings:
            told["backbone"] = depth(settings["backbone"]), facts.architecture.depth
        if "num_classes" in settings:
            told["num_classes"] = int(settings["num_classes"]), facts.classes
        if "algorithm" in settings:
            told["algorithm"] = str(settings["algorithm"]).lower(), facts.decoder
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None
    for name, (said, there) in told.items():
        if said != there:
            raise UserError(f"{path} says {name}={settings[name]}, but the arrays beside it are of {there}")
