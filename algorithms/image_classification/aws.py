"""A model trained by AWS's image: `image-classification-symbol.json` and
`image-classification-NNNN.params`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import artifact, mxnet_symbol
from optml.algorithms.image_classification.facts import Facts
from optml.algorithms.mxnet_symbol import attributes
from optml.algorithms.vision import mxnet
from optml.algorithms.vision.weights.naming import HEADS
from optml.errors import UserError

SYMBOL = "*-symbol.json"
SOFTMAX = ("SoftmaxOutput", "softmax", "SoftmaxActivation", "FullyConnected")
SIGMOID = ("sigmoid", "LogisticRegressionOutput", "Activation", "Custom")
SIDE = 224  # pixels, of an artifact that does not tell the shape of its images


def recognises(folder: Path) -> bool:
    """A graph that ends in one of the heads of this algorithm."""
    try:
        path = _symbol(folder)
        return _head(_nodes(path), path) is not None
    except UserError:
        return False


def read(folder: Path) -> tuple[Facts, dict[str, np.ndarray]]:
    """The facts of a model, and its arrays by our names. Raises UserError saying what is missing or wrong."""
    path = _symbol(folder)
    nodes = _nodes(path)
    head = _head(nodes, path)
    if head is None:
        raise UserError(f"{path}: the graph has no layer {' or '.join(HEADS)}, which classifies")
    trunk = mxnet.trunk(nodes, str(path))
    params = _params(path)
    network, arrays = mxnet.arrays(params, trunk)
    weight = arrays.get("fc.weight")
    if weight is None or weight.ndim != 2:
        raise UserError(f"{params} holds no weights of the layer {head.get('name')}")
    channels, height, width = _shape(folder)
    if channels not in (None, network.channels):
        raise UserError(f"{folder} tells of images with {channels} channels, {params} has {network.channels}")
    return Facts(network, height, width, len(weight), _several(nodes, path)), arrays


def _symbol(folder: Path) -> Path:
    paths = sorted(folder.glob(SYMBOL))
    if not paths:
        raise UserError(
            f"{folder} holds no model of Image Classification: neither model.json nor {SYMBOL}; found "
            f"{artifact.listing(folder)}"
        )
    return paths[0]


def _nodes(path: Path) -> list[dict[str, Any]]:
    try:
        return mxnet_symbol.nodes(json.loads(path.read_text()))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _head(nodes: Sequence[dict[str, Any]], path: Path) -> dict[str, Any] | None:
    return next(
        (node for node in nodes if node.get("op") == "FullyConnected" and node.get("name") in HEADS), None
    )


def _several(nodes: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Do its outputs stand each for itself? By the last operator."""
    last: Mapping[str, Any] = next((node for node in reversed(nodes) if node.get("op") != "null"), {})
    operator = str(last.get("op"))
    if operator == "Activation" and attributes(last).get("act_type") != "sigmoid":
        operator = f"Activation {attributes(last).get('act_type')}"
    if operator not in SOFTMAX + SIGMOID:
        raise UserError(f"{path}: the graph ends in {operator}; expected a softmax or a sigmoid")
    return operator in SIGMOID


def _params(symbol: Path) -> Path:
    """Of several, the last: files are numbered by the epochs that improved."""
    stem = symbol.name.removesuffix(SYMBOL[1:])
    pattern = re.compile(rf"{re.escape(stem)}-(\d+)\.params")
    numbered = {
        int(match[1]): path for path in symbol.parent.iterdir() if (match := pattern.fullmatch(path.name))
    }
    if not numbered:
        raise UserError(f"{symbol.parent} has {symbol.name}, but no {stem}-NNNN.params beside it")
    return numbered[max(numbered)]


def _shape(folder: Path) -> tuple[int | None, int, int]:
    """Channels (None: not told), height and width of the images."""
    try:
        shapes = json.loads((folder / "model-shapes.json").read_text())
        _, *shape = next(entry["shape"] for entry in shapes if entry["name"] == "data")
    except (OSError, ValueError, TypeError, KeyError, StopIteration):
        try:
            shape = json.loads((folder / "hyperparams.json").read_text())["image_shape"]
            shape = shape.split(",") if isinstance(shape, str) else shape
        except (OSError, ValueError, TypeError, KeyError):
            return None, SIDE, SIDE
    try:
        channels, height, width = map(int, shape)
    except (TypeError, ValueError):
        raise UserError(
            f"{folder} tells of images of shape {shape}; expected channels, height, width"
        ) from None
    return channels, height, width
