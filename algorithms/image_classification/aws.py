"""A model trained by AWS's image: `image-classification-symbol.json` and
`image-classification-NNNN.params`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms.image_classification.facts import Facts
from optml.algorithms.mxnet_symbol import attributes
from optml.algorithms.vision import mxnet
from optml.algorithms.vision.weights.naming import HEADS
from optml.errors import UserError

TITLE = "Image Classification"
SOFTMAX = ("SoftmaxOutput", "softmax", "SoftmaxActivation", "FullyConnected")
SIGMOID = ("sigmoid", "LogisticRegressionOutput", "Activation", "Custom")
SIDE = 224  # pixels, of an artifact that does not tell the shape of its images


def recognises(folder: Path) -> bool:
    """A graph that ends in one of the heads of this algorithm."""
    try:
        _, nodes = mxnet.graph(folder, TITLE)
        return _head(nodes) is not None
    except UserError:
        return False


def read(folder: Path) -> tuple[Facts, dict[str, np.ndarray]]:
    """The facts of a model, and its arrays by our names. Raises UserError saying what is missing or wrong."""
    path, nodes = mxnet.graph(folder, TITLE)
    head = _head(nodes)
    if head is None:
        raise UserError(f"{path}: the graph has no layer {' or '.join(HEADS)}, which classifies")
    trunk = mxnet.trunk(nodes, str(path))
    params = mxnet.params(path)
    network, arrays = mxnet.arrays(params, trunk)
    weight = arrays.get("fc.weight")
    if weight is None or weight.ndim != 2:
        raise UserError(f"{params} holds no weights of the layer {head.get('name')}")
    channels, height, width = _shape(folder)
    if channels not in (None, network.channels):
        raise UserError(f"{folder} tells of images with {channels} channels, {params} has {network.channels}")
    return Facts(network, height, width, len(weight), _several(nodes, path)), arrays


def _head(nodes: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
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
