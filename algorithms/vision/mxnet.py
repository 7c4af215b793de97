"""Networks as MXNet's examples and AWS's images write them: a symbol graph, and arrays beside it; of residual
ones the settings.

The settings are read off the graph; the network that answers is ours (`algorithms.vision.resnet`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from optml.algorithms import artifact, mxnet_symbol
from optml.algorithms.mxnet_symbol import attributes
from optml.algorithms.vision.architecture import Architecture, tell
from optml.algorithms.vision.weights import files
from optml.errors import UserError

SYMBOL = "*-symbol.json"

_CONVOLUTION = re.compile(r"stage(\d)_unit(\d+)_conv(\d)")
_EPS = 1e-3  # of MXNet's batch norm where a graph says nothing


@dataclass(frozen=True, slots=True)
class Trunk:
    """What a graph says of its residual network.

    fixed: names of the batch norms whose factor is 1, whatever the arrays hold.
    """

    architecture: Architecture  # channels are not in the graph: as in the arrays
    fixed: tuple[str, ...]


def graph(folder: Path, title: str) -> tuple[Path, list[dict[str, Any]]]:
    """The file of a model's graph, and its nodes.

    title: of the algorithm, for a message. Raises UserError where there is none, or none that can be read."""
    paths = sorted(folder.glob(SYMBOL))
    if not paths:
        raise UserError(
            f"{folder} holds no model of {title}: neither model.json nor {SYMBOL}; found "
            f"{artifact.listing(folder)}"
        )
    try:
        return paths[0], mxnet_symbol.nodes(json.loads(paths[0].read_text()))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{paths[0]} cannot be read: {error}") from None


def params(symbol: Path) -> Path:
    """The arrays beside a graph; of several files the last: they are numbered by the epochs that improved.
    Raises UserError where there is none."""
    stem = symbol.name.removesuffix(SYMBOL[1:])
    pattern = re.compile(rf"{re.escape(stem)}-(\d+)\.params")
    numbered = {
        int(match[1]): path for path in symbol.parent.iterdir() if (match := pattern.fullmatch(path.name))
    }
    if not numbered:
        raise UserError(f"{symbol.parent} has {symbol.name}, but no {stem}-NNNN.params beside it")
    return numbered[max(numbered)]


def integers(text: object) -> tuple[int, ...]:
    """Of a tuple as text: "(7, 7)", "(7,7)", "[7, 7]"."""
    return tuple(map(int, re.findall(r"-?\d+", str(text))))


def true(text: object) -> bool:
    return str(text).strip().lower() in ("true", "1")


def trunk(nodes: Sequence[Mapping[str, Any]], where: str) -> Trunk:
    """Raises UserError, naming `where`, for a graph of no residual network."""
    shapes: dict[str, tuple[int, ...]] = {}
    fixed: list[str] = []
    eps: dict[float, str] = {}
    for node in nodes:
        operator, name, settings = node.get("op"), str(node.get("name")), attributes(node)
        if operator == "BatchNorm":
            if true(settings.get("fix_gamma", "True")):
                fixed.append(name)
            eps.setdefault(float(settings.get("eps", _EPS)), name)
        elif operator == "Convolution":
            unit = _CONVOLUTION.fullmatch(name)
            kernel = integers(settings.get("kernel"))
            if unit:
                stage, number, place = map(int, unit.groups())
                shapes[f"layer{stage}.{number - 1}.conv{place}.weight"] = kernel
            elif name == "conv0":
                shapes["conv1.weight"] = (0, 0, *kernel)
    architecture = tell(shapes, "pre")
    if architecture is None:
        units = sum(name.startswith("layer") for name in shapes)
        raise UserError(
            f"{where}: the graph is of no residual network that we know: convolution 'conv0' "
            f"{'is there' if 'conv1.weight' in shapes else 'is missing'}, and {units} convolutions are "
            "called "
            "stageX_unitY_convZ"
        )
    if len(eps) > 1:
        several = ", ".join(f"{value:g} ({name})" for value, name in eps.items())
        raise UserError(f"{where}: batch norms with different eps: {several}; one for all is expected")
    return Trunk(replace(architecture, eps=next(iter(eps), None)), tuple(fixed))


def arrays(path: Path, told: Trunk) -> tuple[Architecture, dict[str, np.ndarray]]:
    """The network, and the arrays of a `.params` file by our names, float32, factors that are fixed as 1.

    Raises UserError where they are of another network than the graph."""
    weights = files.read(path)
    arrays = {name: np.asarray(array, np.float32) for name, array in weights.arrays.items()}
    channels = arrays["conv1.weight"].shape[1] if "conv1.weight" in arrays else 0
    expected = replace(told.architecture, channels=channels)
    if weights.architecture is None or replace(weights.architecture, eps=expected.eps) != expected:
        raise UserError(
            f"{path} holds {weights.architecture or 'other arrays'}, but its graph is of {expected}"
        )
    for name in told.fixed:
        own = weights.naming.read(f"{name}_gamma")
        if own in arrays:
            arrays[own] = np.ones_like(arrays[own])
    return expected, arrays
